package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
	"github.com/hubgate/hubgate/test/sampletest"
)

// shellSample starts a hub and returns the environment of the samples in shell,
// with hubgate on the path, and the directory that they are in.
func shellSample(t *testing.T) (g *gateway, env []string, dir string) {
	t.Helper()
	require(t, "bash", "mosquitto_pub", "mosquitto_sub", "jq", "timeout")
	if _, err := os.Stat("/usr/sbin/mosquitto"); err != nil {
		require(t, "mosquitto")
	}
	program, err := hubtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(program, filepath.Join(bin, "hubgate")); err != nil {
		t.Fatal(err)
	}
	g = startGateway(t)
	return g, []string{
		"IOTHUB_DEVICE_CONNECTION_STRING=" + g.Ready.DeviceConnectionString,
		"HUBGATE_NATS=" + g.Ready.NATSURL, "HUBGATE_CREDS=" + g.Ready.NATSCreds,
		"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"),
	}, filepath.Join("..", "..", "samples", "shell")
}

// shellTools are what the back end's sample can be run with: hubgate is always
// there, nats where it is installed.
func shellTools() []string {
	if _, err := exec.LookPath("nats"); err != nil {
		return []string{"hubgate"}
	}
	return []string{"hubgate", "nats"}
}

// TestShellDevice holds all conversations, kills the hub, and holds them again.
func TestShellDevice(t *testing.T) {
	t.Parallel()
	g, env, dir := shellSample(t)
	d := sampletest.Device{Process: sampletest.Start(t, env, filepath.Join(dir, "device.sh"), g.Ready.CAFile), ID: g.Ready.DeviceID}
	sampletest.Converse(t, g.Gateway, d)
	g.restart(syscall.SIGKILL)
	d.Round = 1
	sampletest.Converse(t, g.Gateway, d)
	d.Interrupt()
}

// TestShellConversations runs the script that runs all of them, with files named
// from where it is called.
func TestShellConversations(t *testing.T) {
	t.Parallel()
	for _, tool := range shellTools() {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			g, env, dir := shellSample(t)
			script, err := filepath.Abs(filepath.Join(dir, "all.sh"))
			if err != nil {
				t.Fatal(err)
			}
			out := sampletest.Play(t, append(env, "TOOL="+tool), "bash", "-c", `cd "$1" && "$2" "$3"`, "bash", filepath.Dir(g.Ready.CAFile), script, filepath.Base(g.Ready.CAFile))
			for _, want := range []string{
				`{"n":0,"temperature":20`, `{"rebootingIn":1}`, `{"telemetryInterval":2,"$version":2}`,
				`"statusCode":"Success"`, "message: Hello, device", `"lastReboot"`,
			} {
				if !strings.Contains(out, want) {
					t.Errorf("there is no %s in\n%s", want, out)
				}
			}
		})
	}
}

// TestShellConversationsFail: without a device there is nothing to wait for.
func TestShellConversationsFail(t *testing.T) {
	t.Parallel()
	g, env, dir := shellSample(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "all.sh"), g.Ready.CAFile)
	cmd.Env = slices.Concat(os.Environ(), env, []string{"TOOL=hubgate", "IOTHUB_DEVICE_CONNECTION_STRING=DeviceId=dev1"})
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil || err == nil || !strings.Contains(string(out), "there is no HostName") {
		t.Errorf("it ended with %v (%v), and printed %q", err, ctx.Err(), out)
	}
}

// TestShellBackendFails tells an error from an answer.
func TestShellBackendFails(t *testing.T) {
	t.Parallel()
	g, env, dir := shellSample(t)
	tests := map[string]struct {
		args []string
		want string
	}{
		"no such device":  {[]string{"twin", "nobody"}, "nobody does not exist"},
		"an odd device":   {[]string{"method", "no.body=50% at all", "fly"}, "no.body=50%"},
		"not JSON":        {[]string{"twin", g.Ready.DeviceID, "{"}, "JSON"},
		"no conversation": {[]string{"sing"}, "backend.sh message"},
		"too few words":   {[]string{"message", g.Ready.DeviceID}, "backend.sh message"},
	}
	for _, tool := range shellTools() {
		for name, test := range tests {
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "backend.sh"), test.args...)
			cmd.Env = slices.Concat(os.Environ(), env, []string{"TOOL=" + tool})
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("%s, with %s: it ended with %v, want exit code and %q in %q", name, tool, err, test.want, out)
			}
		}
	}
}

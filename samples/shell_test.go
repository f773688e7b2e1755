package samples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
	"github.com/hubgate/hubgate/test/sampletest"
)

// shellEnv is the environment of the samples in shell: hubgate is on the path.
func shellEnv(t *testing.T, g *hubtest.Gateway) []string {
	t.Helper()
	hubtest.Require(t, "bash", "mosquitto_pub", "jq", "timeout")
	if _, err := os.Stat("/usr/sbin/mosquitto"); err != nil {
		hubtest.Require(t, "mosquitto")
	}
	program, err := hubtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(program, filepath.Join(dir, "hubgate")); err != nil {
		t.Fatal(err)
	}
	env := append(asDevice(g), asBackend(g)...)
	return append(env, "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestShellDevice(t *testing.T) {
	t.Parallel()
	g := start(t)
	port := strconv.Itoa(g.Ready.Ports.MQTT)
	device := sampletest.Start(t, shellEnv(t, g), "shell/device.sh", g.Ready.CAFile, port)
	sampletest.Converse(t, g, sampletest.Device{Process: device, ID: g.Ready.DeviceID})
	device.Interrupt()
}

// TestShellConversations runs the script that runs all of them, with each tool
// for the back end that there is: hubgate always, nats where it is installed.
func TestShellConversations(t *testing.T) {
	t.Parallel()
	tools := []string{"hubgate"}
	if _, err := exec.LookPath("nats"); err == nil {
		tools = append(tools, "nats")
	}
	for _, tool := range tools {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			g := start(t)
			env := append(shellEnv(t, g), "TOOL="+tool)
			out := sampletest.Play(t, env, "shell/all.sh", g.Ready.CAFile, strconv.Itoa(g.Ready.Ports.MQTT))
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

// TestShellBackendFails tells an error from an answer.
func TestShellBackendFails(t *testing.T) {
	t.Parallel()
	g := start(t)
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
	for _, tool := range []string{"hubgate", "nats"} {
		if _, err := exec.LookPath(tool); tool == "nats" && err != nil {
			continue
		}
		env := append(shellEnv(t, g), "TOOL="+tool)
		for name, test := range tests {
			cmd := exec.CommandContext(t.Context(), "shell/backend.sh", test.args...)
			cmd.Env = append(os.Environ(), env...)
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("%s, with %s: it ended with %v, want exit code and %q in %q", name, tool, err, test.want, out)
			}
		}
	}
}

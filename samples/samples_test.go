package samples_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
)

func TestMain(m *testing.M) { os.Exit(hubtest.Main(m)) }

// build compiles a sample.
func build(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return path
}

// play runs a program to its end and returns what it printed.
func play(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hubtest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, out)
	}
	return string(out)
}

// TestGoSamples sends with one sample and reads with the other, in two turns:
// the second goes on where the first ended.
func TestGoSamples(t *testing.T) {
	t.Parallel()
	device, backend := build(t, "device-go"), build(t, "backend-go")
	g := hubtest.Start(t, hubtest.Options{Flags: []string{"--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0"}})
	asDevice := []string{"IOTHUB_DEVICE_CONNECTION_STRING=" + g.Ready.DeviceConnectionString}
	sent := play(t, asDevice, device, "-ca", g.Ready.CAFile, "-port", strconv.Itoa(g.Ready.Ports.MQTT), "-count", "3", "-every", "1ms")
	if got := strings.Count(sent, "stored: "); got != 3 {
		t.Errorf("the device has sent %d messages, want 3:\n%s", got, sent)
	}
	asBackend := []string{"HUBGATE_NATS=" + g.Ready.NATSURL, "HUBGATE_CREDS=" + g.Ready.NATSCreds}
	read := play(t, asBackend, backend, "-count", "2") + play(t, asBackend, backend, "-count", "1")
	lines := strings.Split(strings.TrimSpace(read), "\n")
	if len(lines) != 3 {
		t.Fatalf("the back end has read %d lines, want 3:\n%s", len(lines), read)
	}
	for n, line := range lines {
		for _, want := range []string{fmt.Sprintf("%d ", n+1), " dev1 ", fmt.Sprintf(`"n":%d`, n), "map[level:info]"} {
			if !strings.Contains(line, want) {
				t.Errorf("%q is not in %q", want, line)
			}
		}
	}
}

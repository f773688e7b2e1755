package conformance

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
	"github.com/hubgate/hubgate/test/sampletest"
)

// TestSamples runs the devices in samples as their users do, and holds all
// conversations with them; then they come back from an outage and hold them again.
func TestSamples(t *testing.T) {
	t.Parallel()
	samples := filepath.Join("..", "..", "samples")
	devices := map[string]func(t *testing.T, g *gateway, env []string) sampletest.Device{
		"node": func(t *testing.T, g *gateway, env []string) sampletest.Device {
			env = append(env, installNode(t, "driver.js")[1], "NODE_EXTRA_CA_CERTS="+g.Ready.CAFile)
			process := sampletest.Start(t, env, "node", filepath.Join(samples, "node", "device.js"))
			return sampletest.Device{Process: process, Silent: true}
		},
		"python": func(t *testing.T, g *gateway, env []string) sampletest.Device {
			process := sampletest.Start(t, env, installPython(t), filepath.Join(samples, "python", "device.py"), g.Ready.CAFile)
			return sampletest.Device{Process: process, Outage: "sent again in five seconds"}
		},
	}
	for name, begin := range devices {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t)
			d := begin(t, g, []string{"IOTHUB_DEVICE_CONNECTION_STRING=" + g.Ready.DeviceConnectionString})
			d.ID = g.Ready.DeviceID
			sampletest.Converse(t, g.Gateway, d)
			g.Stop(t, syscall.SIGKILL)
			if d.Outage != "" {
				d.Await(d.Outage)
			}
			g.Start(t)
			d.Await("connected again")
			d.Round = 1
			sampletest.Converse(t, g.Gateway, d)
			d.Interrupt()
		})
	}
}

// TestPastedLines runs the lines for Node and Python that hubgate dev prints,
// as they are.
func TestPastedLines(t *testing.T) {
	t.Parallel()
	nodePath, python := installNode(t, "driver.js")[1], installPython(t)
	path, err := hubtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "dev", "--data-dir", t.TempDir(), "--nats-port", "0", "--host", freeAddress(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	env := []string{nodePath, "PATH=" + filepath.Dir(python) + string(os.PathListSeparator) + os.Getenv("PATH")}
	pasted := 0
	for lines := bufio.NewScanner(out); pasted < 2 && lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, "NODE_EXTRA_CA_CERTS=") && !strings.HasPrefix(line, "python3 ") {
			continue
		}
		pasted++
		if said := shell(t, env, "sh", "-c", line); !slices.Contains(strings.Split(said, "\n"), "sent") {
			t.Errorf("%s\nprinted %q", line, said)
		}
	}
	if pasted != 2 {
		t.Errorf("found %d lines to paste", pasted)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("hubgate dev ended with %v", err)
	}
}

// shell runs a program to its end and returns what it printed.
func shell(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

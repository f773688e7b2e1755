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
)

// TestSamples runs the devices in samples as their users do.
func TestSamples(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	device := "IOTHUB_DEVICE_CONNECTION_STRING=" + g.Ready.DeviceConnectionString
	samples := filepath.Join("..", "..", "samples")
	t.Run("group", func(t *testing.T) {
		t.Run("node", func(t *testing.T) {
			t.Parallel()
			env := []string{installNode(t)[1], device, "NODE_EXTRA_CA_CERTS=" + g.Ready.CAFile}
			wantStored(t, shell(t, env, "node", filepath.Join(samples, "node", "device.js"), "2"), 2)
		})
		t.Run("python", func(t *testing.T) {
			t.Parallel()
			out := shell(t, []string{device}, installPython(t), filepath.Join(samples, "python", "device.py"), g.Ready.CAFile, "2")
			wantStored(t, out, 2)
		})
	})
	if got := len(g.messages(g.Ready.DeviceID, 4)); got != 4 {
		t.Errorf("the stream has %d messages, want 4", got)
	}
}

// TestPastedLines runs the lines for Node and Python that hubgate dev prints,
// as they are.
func TestPastedLines(t *testing.T) {
	t.Parallel()
	nodePath, python := installNode(t)[1], installPython(t)
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

// wantStored counts the messages that a sample says it has sent.
func wantStored(t *testing.T, out string, want int) {
	t.Helper()
	if got := strings.Count(out, "stored: "); got != want {
		t.Errorf("the sample has sent %d messages, want %d:\n%s", got, want, out)
	}
}

package docs

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

func hasOne(got []jetstream.Msg) bool { return len(got) > 0 }

// devLine returns the line for the nats command that hubgate dev prints, of
// which a second one is started, in the words of the first.
func (r *reader) devLine() string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*hubtest.Patience)
	defer cancel()
	dir := r.t.TempDir()
	cmd := exec.CommandContext(ctx, filepath.Join(programs.dir, "hubgate"), "dev", "--data-dir", dir, "--host", "127.0.0.1",
		"--nats-port", "0", "--mqtt-port", "0", "--https-port", "0")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	url := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if rest, ok := strings.CutPrefix(line, "nats --server "); ok {
			url, _, _ = strings.Cut(rest, " ")
			line = strings.ReplaceAll(line, url, r.hub.Ready.NATSURL)
			return strings.ReplaceAll(line, dir, r.hub.DataDir)
		}
	}
	r.t.Fatal("hubgate dev prints no line for nats")
	return ""
}

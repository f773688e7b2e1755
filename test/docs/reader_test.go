package docs

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/hubgate/hubgate/test/hubtest"
)

// reader is somebody who pastes the lines of a page at a machine where hubgate
// dev runs and its first device, dev1, is connected.
type reader struct {
	t    *testing.T
	hub  *hubtest.Gateway
	home string
	dev1 *device

	thermostat *device // made and removed by expectations of docs/nats.md
}

func newReader(t *testing.T) *reader {
	t.Helper()
	programs.nats(t)
	home := t.TempDir()
	g := hubtest.Start(t, hubtest.Options{
		DataDir: filepath.Join(home, ".local", "share", "hubgate"),
		Flags:   []string{"--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0"},
	})
	return &reader{t: t, hub: g, home: home, dev1: connect(t, g, g.Ready.DeviceConnectionString)}
}

// in returns r for a subtest.
func (r *reader) in(t *testing.T) *reader {
	c := *r
	c.t = t
	return &c
}

// adapt puts in the port that is free here. Nothing else of a line is changed.
func (r *reader) adapt(line string) string {
	return strings.ReplaceAll(line, "nats://127.0.0.1:4222", r.hub.Ready.NATSURL)
}

func (r *reader) shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", "exec "+r.adapt(line))
	cmd.Env = append(os.Environ(),
		"PATH="+programs.dir+string(os.PathListSeparator)+os.Getenv("PATH"),
		"HOME="+r.home, "XDG_CONFIG_HOME="+filepath.Join(r.home, ".config"), "XDG_DATA_HOME=", "TERM=xterm", "NATS_COLOR=",
		"NATS_TIMEOUT=30s") // the machine may be busy
	cmd.WaitDelay = time.Second
	return cmd
}

// screen is what a program has printed so far.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// String implements fmt.Stringer.
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// finish runs a line to its end, which has to be a success.
func (r *reader) finish(line string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*hubtest.Patience)
	defer cancel()
	out, err := r.shell(ctx, line).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s\n%v\n%s", line, err, out)
	}
	return string(out)
}

// watch runs a line that does not end by itself, and does again and again what
// it should see, until it has printed all of want.
func (r *reader) watch(line string, again func(*reader), want []string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*hubtest.Patience)
	defer cancel()
	var seen screen
	cmd := r.shell(ctx, line)
	cmd.Stdout, cmd.Stderr = &seen, &seen
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for len(missing(seen.String(), want)) > 0 {
		select {
		case err := <-ended:
			r.t.Fatalf("%s\nhas ended: %v\n%s", line, err, seen.String())
		case <-tick.C:
			if again != nil {
				again(r)
			}
		}
	}
	cancel()
	<-ended
	return seen.String()
}

// terminal runs a line to its end at a terminal, which it asks for.
func (r *reader) terminal(line string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*hubtest.Patience)
	defer cancel()
	cmd := r.shell(ctx, line)
	tty, err := pty.Start(cmd)
	if err != nil {
		hubtest.Skip(r.t, "there is no pseudo-terminal: "+err.Error())
	}
	defer func() { _ = tty.Close() }()
	var seen screen
	_, _ = io.Copy(&seen, tty) // it ends with EIO when the program has ended
	if err := cmd.Wait(); err != nil {
		r.t.Fatalf("%s\n%v\n%s", line, err, seen.String())
	}
	return seen.String()
}

// missing returns those of want that text has not.
func missing(text string, want []string) []string {
	var out []string
	for _, w := range want {
		if !strings.Contains(text, w) {
			out = append(out, w)
		}
	}
	return out
}

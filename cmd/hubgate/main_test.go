package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// asProgram makes the test binary behave as hubgate itself, so that tests see
// real processes: exit codes, signals, locks.
const asProgram = "HUBGATE_TEST_AS_PROGRAM"

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		os.Exit(mainWith(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// result is what a finished command left.
type result struct {
	code     int
	out, err string
}

// environment is ours without what could reach the program, and with env.
func environment(env ...string) []string {
	clean := slices.DeleteFunc(os.Environ(), func(line string) bool { return strings.HasPrefix(line, "HUBGATE_") })
	return append(clean, env...)
}

// program prepares a hubgate process.
func program(ctx context.Context, t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(environment(env...), asProgram+"=1")
	return cmd
}

// hubgate runs a command to its end in this process.
func hubgate(t *testing.T, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errOut lockedBuffer
	a := &app{env: environment(env...), out: &out, errOut: &errOut}
	code := a.run(ctx, args)
	if ctx.Err() != nil {
		t.Fatalf("hubgate %q does not end:\n%s%s", args, out.String(), errOut.String())
	}
	return result{code, out.String(), errOut.String()}
}

// process is a running hub.
type process struct {
	cmd   *exec.Cmd
	ready devReady
	line  string // that it came from
	log   lockedBuffer
	ended chan error
}

// lockedBuffer is a bytes.Buffer for one writer and one reader.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// startDev runs hubgate dev on free ports of 127.0.0.1 until the end of t.
func startDev(t *testing.T, dir string, flags ...string) *process {
	t.Helper()
	args := append([]string{
		"dev", "-o", "json", "--data-dir", dir, "--mqtt-port", "0", "--https-port", "0", "--nats-port", "0",
	}, flags...)
	return start(t, args...)
}

// start runs a node and waits until it is ready.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startWith(t, nil, args...)
}

// startWith is start with something in the environment.
func startWith(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: program(context.WithoutCancel(t.Context()), t, env, args...), ended: make(chan error, 1)}
	p.cmd.Stderr = &p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the log of hubgate:\n%s", p.log.String())
		}
	})
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n')
		first <- line
		_, _ = r.WriteTo(&p.log)
		p.ended <- p.cmd.Wait()
	}()
	select {
	case p.line = <-first:
	case <-time.After(patience):
		t.Fatalf("the hub is not ready in time:\n%s", p.log.String())
	}
	if err := json.Unmarshal([]byte(p.line), &p.ready); err != nil {
		t.Fatalf("read the ready line %q: %v\n%s", p.line, err, p.log.String())
	}
	return p
}

// stop sends a signal and waits for the end, whose error it returns.
func (p *process) stop(t *testing.T, sig os.Signal) error {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		return err
	case <-time.After(patience):
		t.Fatalf("hubgate does not end on %v:\n%s", sig, p.log.String())
		return nil
	}
}

// stopCleanly ends a hub as Ctrl-C does.
func (p *process) stopCleanly(t *testing.T) {
	t.Helper()
	if err := p.stop(t, syscall.SIGINT); err != nil {
		t.Errorf("the hub ended with %v:\n%s", err, p.log.String())
	}
}

// wantAll checks that text has every one of words.
func wantAll(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q is not in:\n%s", word, text)
		}
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

package sampletest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

// Play runs a program to its end, which must be a good one, and returns what it
// printed.
func Play(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*hubtest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(program), args, err, out)
	}
	return string(out)
}

// Process is a program that runs and what it has printed so far.
type Process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the output has ended

	mu      sync.Mutex
	lines   []string
	changed chan struct{} // closed and replaced by the next line
}

// Start runs a program that ends at Interrupt, or else with t.
func Start(t *testing.T, env []string, program string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, name: filepath.Base(program), done: make(chan struct{}), changed: make(chan struct{})}
	// Not t's context: that ends before the cleanup, which asks it to end.
	p.cmd = exec.CommandContext(context.Background(), program, args...)
	p.cmd.Env = append(os.Environ(), env...)
	out, in := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = in, in
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go p.read(out)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.cmd.Wait()
		_ = in.Close()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // so that a script ends what it has started
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = p.cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s has printed:\n%s", p.name, hubtest.Tail(p.Output()))
		}
	})
	return p
}

func (p *Process) read(out io.Reader) {
	defer close(p.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
}

// Output is what the program has printed so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// Await waits for a line, from the first on, that holds all of the words.
func (p *Process) Await(words ...string) string {
	p.t.Helper()
	late := time.After(2 * hubtest.Patience)
	for from := 0; ; {
		p.mu.Lock()
		lines, changed := p.lines, p.changed
		p.mu.Unlock()
		for ; from < len(lines); from++ {
			if hasAll(lines[from], words) {
				return lines[from]
			}
		}
		select {
		case <-changed:
		case <-p.done:
			if p.Output() == strings.Join(lines, "\n") {
				p.t.Fatalf("%s has ended without a line with %q", p.name, words)
			}
		case <-late:
			p.t.Fatalf("%s has printed no line with %q", p.name, words)
		}
	}
}

func hasAll(line string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(line, word) {
			return false
		}
	}
	return true
}

// Interrupt is Ctrl-C: the program must end, and well.
func (p *Process) Interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("interrupt %s: %v", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(hubtest.Patience):
		p.t.Fatalf("%s still runs %v after Ctrl-C", p.name, hubtest.Patience)
	}
	if state := p.cmd.ProcessState; !state.Success() {
		p.t.Errorf("%s ended at Ctrl-C with %v", p.name, state)
	}
}

//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds every wait for something that takes seconds on an idle
// machine: what recovers does so within it.
const patience = 3 * time.Minute

// process is a program that ends and starts again. Its output goes to a file
// for all its lives. It is safe for concurrent use.
type process struct {
	name string
	args []string
	env  []string
	log  string // file
	// died is called when it ends without having been told to.
	died func(name string, err error)

	mu      sync.Mutex
	cmd     *exec.Cmd
	exit    chan struct{} // closed at the end of the process
	err     error         // how it ended
	leaving bool          // it has been told to end
}

// start runs it and waits for its first line on standard output.
func (p *process) start(ctx context.Context) error {
	p.mu.Lock()
	if p.cmd != nil {
		p.mu.Unlock()
		return fmt.Errorf("%s runs already", p.name)
	}
	first, err := p.spawn()
	exit := p.exit
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-first:
		return nil
	case <-exit:
		return fmt.Errorf("%s ended before it was ready: %w; see %s", p.name, p.err, p.log)
	case <-limit.C:
		return fmt.Errorf("%s is not ready after %v; see %s", p.name, patience, p.log)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// spawn starts the process. first is closed by its first line. p.mu is held.
func (p *process) spawn() (first chan struct{}, err error) {
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(context.Background(), p.args[0], p.args[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stderr = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	first, exit := make(chan struct{}), make(chan struct{})
	p.cmd, p.exit, p.leaving, p.err = cmd, exit, false, nil
	go func() {
		r := bufio.NewReader(pipe)
		if line, err := r.ReadString('\n'); err == nil && !strings.HasPrefix(line, `{"error"`) {
			close(first)
		}
		_, _ = io.Copy(io.Discard, r)
		p.end(cmd.Wait(), exit)
	}()
	return first, nil
}

func (p *process) end(err error, exit chan struct{}) {
	p.mu.Lock()
	p.cmd, p.err = nil, err
	asked := p.leaving
	p.mu.Unlock()
	close(exit)
	if !asked && p.died != nil {
		p.died(p.name, err)
	}
}

// running reports whether there is a process.
func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil
}

// signal sends a signal, if the process runs.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	if sig == syscall.SIGKILL || sig == syscall.SIGTERM {
		p.leaving = true
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", sig, p.name, err)
	}
	return nil
}

// stop ends the process by a signal and waits for its end. One that does not go
// is killed, which is an error.
func (p *process) stop(sig syscall.Signal) error {
	p.mu.Lock()
	exit := p.exit
	runs := p.cmd != nil
	p.mu.Unlock()
	if !runs {
		return nil
	}
	if err := p.signal(sig); err != nil {
		return err
	}
	select {
	case <-exit:
	case <-time.After(patience):
		_ = p.signal(syscall.SIGKILL)
		<-exit
		return fmt.Errorf("%s still ran %v after %v", p.name, patience, sig)
	}
	if sig == syscall.SIGTERM && p.err != nil {
		return fmt.Errorf("%s ended by SIGTERM with %w; see %s", p.name, p.err, p.log)
	}
	return nil
}

// wait reports whether d went by before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// until asks again until condition holds, patience ends or ctx does.
func until(ctx context.Context, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !condition() {
		if !wait(ctx, 100*time.Millisecond) {
			return condition()
		}
	}
	return true
}

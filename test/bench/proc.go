//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stopGrace    = 15 * time.Second
	settleStep   = 50 * time.Millisecond
	settleLimit  = 6 * time.Second
	settleQuiet  = 4    // quiet steps in a row that count as settled
	settleShare  = 0.06 // of a core: below it a step is quiet
	startTimeout = 40 * time.Second
	tailSize     = 4 << 10

	ticksPerSecond = 100 // USER_HZ of every Linux port
)

// anyCore leaves a process to the scheduler.
const anyCore = -1

// process is a running server.
type process struct {
	cmd    *exec.Cmd
	out    io.ReadCloser
	tail   *tailBuffer
	done   chan struct{}
	status error // valid once done is closed
}

// startProcess starts a command pinned to core (or anyCore). It dies with the
// bench. Its standard output is left to the caller, the end of its standard
// error is kept for messages.
func startProcess(ctx context.Context, core int, env []string, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...), tail: &tailBuffer{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.tail
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopGrace
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	p.cmd.Stdout, p.out = write, read
	err = onCore(core, p.cmd.Start)
	write.Close()
	if err != nil {
		read.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	raiseFiles(p.pid())
	go func() {
		p.status = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process, by SIGTERM first.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	p.out.Close()
}

// fault says why the process is gone, or nil while it runs.
func (p *process) fault() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %w: %s", filepath.Base(p.cmd.Path), p.status, p.tail)
	default:
		return nil
	}
}

// listening waits until addr accepts connections.
func (p *process) listening(ctx context.Context, addr netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %s", addr, err, p.tail)
		case <-p.done:
			return p.fault()
		case <-time.After(settleStep):
		}
	}
}

// settle waits, for a bounded time, until the process does next to nothing.
func (p *process) settle() {
	last := cpuTime(p.pid())
	for quiet, left := 0, int(settleLimit/settleStep); quiet < settleQuiet && left > 0; left-- {
		p.rest(settleStep)
		now := cpuTime(p.pid())
		quiet++
		if float64(now-last) > settleShare*float64(settleStep) {
			quiet = 0
		}
		last = now
	}
}

// rest lets the process be for a while, unless it ends.
func (p *process) rest(d time.Duration) {
	select {
	case <-time.After(d):
	case <-p.done:
	}
}

// cpuTime is the processor time that a process has used, all threads, user and
// system. It is utime+stime of /proc/PID/stat, read from the process's clock
// because that counts nanoseconds instead of ticks of 10 ms.
func cpuTime(pid int) time.Duration {
	const schedClock = 2 // CPUCLOCK_SCHED, see clock_getcpuclockid(3)
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|schedClock), &t) == nil {
		return time.Duration(t.Nano())
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return statTime(string(b))
}

// statTime reads utime+stime out of the text of /proc/PID/stat.
func statTime(stat string) time.Duration {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond
}

// usage is processor time used up to now, or between two moments.
type usage struct {
	server, own time.Duration
	core        time.Duration // of the server's core by everybody; 0 when it has none of its own
}

func usageOf(pid, core int) usage {
	u := usage{server: cpuTime(pid), own: ownTime()}
	if core == anyCore {
		return u
	}
	if b, err := os.ReadFile("/proc/stat"); err == nil {
		u.core = coreTime(string(b), core)
	}
	return u
}

func (u usage) since(before usage) usage {
	return usage{server: u.server - before.server, own: u.own - before.own, core: u.core - before.core}
}

// coreTime reads out of the text of /proc/stat how long a core has worked:
// user, nice, system, and interrupts of both kinds.
func coreTime(stat string, core int) time.Duration {
	name := "cpu" + strconv.Itoa(core)
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[0] != name {
			continue
		}
		var ticks int64
		for _, i := range []int{1, 2, 3, 6, 7} {
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			ticks += n
		}
		return time.Duration(ticks) * time.Second / ticksPerSecond
	}
	return 0
}

// ownTime is the processor time that the bench itself has used.
func ownTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentBytes is the resident memory of a process (VmRSS), 0 when it is gone.
func residentBytes(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return residentOf(b)
}

func residentOf(status []byte) int64 {
	for line := range bytes.Lines(status) {
		rest, found := bytes.CutPrefix(line, []byte("VmRSS:"))
		if !found {
			continue
		}
		kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
		return kb << 10
	}
	return 0
}

// onCore calls f on a thread that may run on one core only; what f starts
// inherits that.
func onCore(core int, f func() error) error {
	if core == anyCore {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, one unix.CPUSet
	one.Set(core)
	if err := errors.Join(unix.SchedGetaffinity(0, &old), unix.SchedSetaffinity(0, &one)); err != nil {
		return fmt.Errorf("pin to core %d: %w", core, err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &old) }()
	return f()
}

// raiseFiles lifts a child's limit of open files to its hard limit: the Go
// runtime does so for Go programs, nothing does for the others.
func raiseFiles(pid int) {
	var limit unix.Rlimit
	if unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit) == nil {
		limit.Cur = limit.Max
		_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil)
	}
}

// freePort reserves nothing: it names a loopback port that was free just now.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return netip.ParseAddrPort(l.Addr().String())
}

// tailBuffer keeps the end of what is written to it.
type tailBuffer struct {
	mu  sync.Mutex
	end []byte
}

func (t *tailBuffer) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, b...)
	if extra := len(t.end) - tailSize; extra > 0 {
		t.end = append(t.end[:0], t.end[extra:]...)
	}
	return len(b), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.end))
}

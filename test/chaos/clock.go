//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A clock that jumps: the wall clock of one process, as a step of NTP or an
// operator moves that of a machine. The clock of the machine belongs to others,
// and Go asks it without a system call that somebody could answer in its place.
// So hubgate and the NATS server are compiled once more, from the same source,
// with one line more in time.Now: it adds the seconds that a file holds. The
// monotonic clock is not touched, as it is not by a real step.

// clockFile, in the environment, names that file.
const clockFile = "HUBGATE_CHAOS_CLOCK"

const nowLine = "	sec, nsec, mono := runtimeNow()\n"

// shiftSource is a file more in package time.
const shiftSource = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var shift = openShift()

func openShift() *int64 {
	zero := new(int64)
	name, _ := syscall.Getenv("` + clockFile + `")
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return zero
	}
	defer syscall.Close(fd)
	b, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return zero
	}
	return (*int64)(unsafe.Pointer(unsafe.SliceData(b)))
}

func shifted() int64 {
	if shift == nil { // before this package is initialised
		return 0
	}
	return atomic.LoadInt64(shift)
}
`

// programs are what a run starts.
type programs struct {
	hubgate string
	nats    string // this program, which is a NATS server by its environment
	clocks  bool   // their clocks can be moved
}

// compile makes both programs with clocks that can be moved, in dir.
func compile(ctx context.Context, dir string) (programs, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return programs{}, fmt.Errorf("go env GOROOT: %w", err)
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(src, "time.go"))
	if err != nil {
		return programs{}, err
	}
	if strings.Count(string(text), nowLine) != 1 {
		return programs{}, fmt.Errorf("time.Now of this Go is not known: %s", src)
	}
	text = []byte(strings.Replace(string(text), nowLine, nowLine+"	sec += shifted()\n", 1))
	replaced := map[string]string{}
	for name, content := range map[string][]byte{"time.go": text, "shift.go": []byte(shiftSource)} {
		replaced[filepath.Join(src, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return programs{}, err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return programs{}, err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return programs{}, err
	}
	p := programs{filepath.Join(dir, "hubgate"), filepath.Join(dir, "nats"), true}
	for out, pkg := range map[string]string{p.hubgate: "cmd/hubgate", p.nats: "test/chaos"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-overlay", file, "-o", out, "github.com/hubgate/hubgate/"+pkg)
		if said, err := cmd.CombinedOutput(); err != nil {
			return programs{}, fmt.Errorf("build %s: %w\n%s", pkg, err, said)
		}
	}
	return p, nil
}

// clock is the file that moves a process's clock. It is safe for concurrent
// use.
type clock struct {
	mu   sync.Mutex
	path string
}

func newClock(path string) (*clock, error) {
	c := &clock{path: path}
	return c, c.set(0)
}

// set puts the clock off the machine's by d, of which only seconds count.
func (c *clock) set(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := os.OpenFile(c.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], uint64(int64(d/time.Second)))
	_, err = f.WriteAt(b[:], 0)
	return err
}

// env is what a process needs to follow the clock.
func (c *clock) env() string { return clockFile + "=" + c.path }

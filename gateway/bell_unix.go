//go:build unix

package gateway

import (
	"os"
	"runtime"
	"syscall"
)

// bell is a pipe that is watched by the runtime's poller, as sockets are. Who
// rings it and waits for it comes after whoever had something to read before.
type bell struct {
	ring *os.File
	wait syscall.RawConn // nil: there is no pipe
}

func newBell() bell {
	r, w, err := os.Pipe()
	if err != nil {
		return bell{}
	}
	raw, err := r.SyscallConn()
	if err != nil {
		return bell{}
	}
	return bell{ring: w, wait: raw}
}

// pass rings and waits.
func (b bell) pass() {
	if b.wait == nil {
		runtime.Gosched()
		return
	}
	rung := false
	_ = b.wait.Read(func(fd uintptr) bool {
		if !rung {
			rung = true
			_, err := b.ring.Write([]byte{0})
			return err != nil // false has the runtime wait for the poller
		}
		var got [16]byte
		_, again, _ := readSocket(fd, got[:])
		return !again
	})
}

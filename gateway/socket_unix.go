//go:build unix

package gateway

import (
	"errors"
	"syscall"
)

// readSocket reads once from a non-blocking socket; again means that there is
// nothing to read now.
func readSocket(fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), b)
		switch {
		case err == nil:
			return n, false, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return 0, true, nil
		default:
			return 0, false, err
		}
	}
}

// socket implements [source].
func (s *tcpSource) socket() *tcpSource { return s }

// writeSocket writes once to a non-blocking socket; again means that it takes nothing
// now.
func writeSocket(fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Write(int(fd), b)
		switch {
		case err == nil:
			return n, false, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return 0, true, nil
		default:
			return 0, false, err
		}
	}
}

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
		case errors.Is(err, syscall.EAGAIN):
			return 0, true, nil
		case !errors.Is(err, syscall.EINTR):
			return 0, false, err
		}
	}
}

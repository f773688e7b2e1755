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
		if !errors.Is(err, syscall.EINTR) {
			return settled(n, err)
		}
	}
}

// settled is what came of one call for a non-blocking socket; again means that it
// would have waited.
func settled(n int, err error) (done int, again bool, failed error) {
	switch {
	case err == nil:
		return n, false, nil
	case errors.Is(err, syscall.EAGAIN):
		return 0, true, nil
	default:
		return 0, false, err
	}
}

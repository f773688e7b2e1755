package gateway

import (
	"errors"
	"syscall"
)

const wouldBlock = syscall.Errno(10035) // WSAEWOULDBLOCK

// readSocket reads once from a non-blocking socket; again means that there is
// nothing to read now.
func readSocket(fd uintptr, b []byte) (n int, again bool, err error) {
	var got, flags uint32
	buf := syscall.WSABuf{Len: uint32(len(b)), Buf: &b[0]}
	err = syscall.WSARecv(syscall.Handle(fd), &buf, 1, &got, &flags, nil, nil)
	if errors.Is(err, wouldBlock) {
		return 0, true, nil
	}
	return int(got), false, err
}

package gateway

import (
	"errors"
	"syscall"
	"unsafe"
)

const (
	wouldBlock = syscall.Errno(10035) // WSAEWOULDBLOCK
	fionbio    = 0x8004667e           // has a socket return instead of waiting
)

// readSocket reads once; again means that there is nothing to read now. The sockets
// of package net are blocking ones here, and wait by overlapped calls, which work
// with both: a read that waited would neither hear of a deadline nor of Close.
func readSocket(fd uintptr, b []byte) (n int, again bool, err error) {
	socket := syscall.Handle(fd)
	var got, flags, answer uint32
	yes := uint32(1)
	if err := syscall.WSAIoctl(socket, fionbio, (*byte)(unsafe.Pointer(&yes)), uint32(unsafe.Sizeof(yes)), nil, 0, &answer, nil, 0); err != nil {
		return 0, false, err
	}
	buf := syscall.WSABuf{Len: uint32(len(b)), Buf: &b[0]}
	err = syscall.WSARecv(socket, &buf, 1, &got, &flags, nil, nil)
	if errors.Is(err, wouldBlock) {
		return 0, true, nil
	}
	return int(got), false, err
}

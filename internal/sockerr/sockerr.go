// Package sockerr tells errors of sockets apart on all systems. Package syscall has the
// names of other systems on Windows too, but with numbers that Windows never gives.
package sockerr

import (
	"errors"
	"syscall"
)

// NoPorts is what Windows says when there is no local port left, and of other things that
// have run out (WSAENOBUFS).
const NoPorts = syscall.Errno(10055)

// Is reports whether err is what target names, in the number of any system.
func Is(err error, target syscall.Errno) bool {
	if errors.Is(err, target) {
		return true
	}
	for _, number := range onWindows(target) {
		if errors.Is(err, number) {
			return true
		}
	}
	return false
}

// onWindows is what Windows says in place of what target names [winsock2.h].
func onWindows(target syscall.Errno) []syscall.Errno {
	switch target {
	case syscall.EACCES:
		return []syscall.Errno{10013}
	case syscall.EMFILE:
		return []syscall.Errno{10024}
	case syscall.EAFNOSUPPORT:
		return []syscall.Errno{10047}
	case syscall.EADDRINUSE:
		return []syscall.Errno{10048}
	case syscall.EADDRNOTAVAIL:
		return []syscall.Errno{10049}
	case syscall.ECONNRESET: // by the peer, or on its behalf by this machine
		return []syscall.Errno{10054, 10053}
	case syscall.ETIMEDOUT:
		return []syscall.Errno{10060}
	case syscall.ECONNREFUSED:
		return []syscall.Errno{10061}
	default:
		return nil
	}
}

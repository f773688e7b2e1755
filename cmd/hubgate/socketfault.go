package main

import (
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"syscall"
)

// What Windows says when a socket can't be bound. Package syscall has the names
// of other systems there too, but with numbers that Windows never gives.
const (
	wsaAccess              = syscall.Errno(10013)
	wsaAddressInUse        = syscall.Errno(10048)
	wsaAddressNotAvailable = syscall.Errno(10049)
	wsaNoSuchFamily        = syscall.Errno(10047)
)

// portTaken reports whether somebody else has the port.
func portTaken(err error) bool { return isAny(err, syscall.EADDRINUSE, wsaAddressInUse) }

// mayNotBind reports whether this user may not open the port.
func mayNotBind(err error) bool { return isAny(err, fs.ErrPermission, wsaAccess) }

// noSuchAddress reports whether the machine lacks the address, or all of its
// family.
func noSuchAddress(err error) bool {
	return isAny(err, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT, wsaAddressNotAvailable, wsaNoSuchFamily)
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// mayBind is how a user gets the right to a port here.
func mayBind() string { return mayBindOn(runtime.GOOS) }

func mayBindOn(system string) string {
	switch system {
	case "linux":
		return "allow it with 'sudo setcap cap_net_bind_service=+ep $(which hubgate)' or 'sudo sysctl -w net.ipv4.ip_unprivileged_port_start=443'"
	case "windows":
		return "look for it with 'netsh interface ipv4 show excludedportrange tcp', where Windows keeps ports for others, and free it"
	default:
		return "only root may open ports below 1024 here: run hubgate with sudo"
	}
}

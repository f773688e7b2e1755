package main

import (
	"errors"
	"io/fs"
	"runtime"
	"syscall"

	"github.com/hubgate/hubgate/internal/sockerr"
)

// portTaken reports whether somebody else has the port.
func portTaken(err error) bool { return sockerr.Is(err, syscall.EADDRINUSE) }

// mayNotBind reports whether this user may not open the port.
func mayNotBind(err error) bool {
	return errors.Is(err, fs.ErrPermission) || sockerr.Is(err, syscall.EACCES)
}

// noSuchAddress reports whether the machine lacks the address, or all of its
// family.
func noSuchAddress(err error) bool {
	return sockerr.Is(err, syscall.EADDRNOTAVAIL) || sockerr.Is(err, syscall.EAFNOSUPPORT)
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

package simulate

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// lateBind leaves the choice of a local port to the connect, where the kernel
// knows the other end: else an address would be used up by its ports alone,
// whoever they lead to.
func lateBind(network, _ string, c syscall.RawConn) error {
	if network != "tcp4" {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	if err != nil {
		return err
	}
	return failed
}

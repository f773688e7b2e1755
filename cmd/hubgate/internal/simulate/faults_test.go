package simulate

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// What Windows says of a socket is understood as what other systems say.
func TestFaultsOfWindows(t *testing.T) {
	t.Parallel()
	for number, want := range map[syscall.Errno]string{
		10024: "too many open files", 10048: "no free local port", 10049: "no free local port", 10053: "reset by the hub",
		10054: "reset by the hub", 10055: "no free local port", 10060: "timed out", 10061: "refused, nobody listens",
	} {
		err := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connectex", number)}
		if got := causeOf(err); got != want {
			t.Errorf("%d is %q, want %q", int(number), got, want)
		}
	}
}

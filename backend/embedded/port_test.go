package embedded

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// A port that is taken is told with its remedy, on Windows too.
func TestPortThatIsTaken(t *testing.T) {
	t.Parallel()
	for _, number := range []syscall.Errno{syscall.EADDRINUSE, 10048} {
		err := portFault(Config{Host: "127.0.0.1", Port: 4222}, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", number)})
		if !strings.Contains(err.Error(), "is taken by another program") {
			t.Errorf("%d: %v", int(number), err)
		}
	}
}

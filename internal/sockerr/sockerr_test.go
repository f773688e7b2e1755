package sockerr

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		err    error
		target syscall.Errno
		want   bool
	}{
		{"this system's", syscall.EADDRINUSE, syscall.EADDRINUSE, true},
		{"Windows'", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.Errno(10048))}, syscall.EADDRINUSE, true},
		{"the second of two", syscall.Errno(10053), syscall.ECONNRESET, true},
		{"another of Windows'", syscall.Errno(10049), syscall.EADDRINUSE, false},
		{"of a name that has none", syscall.Errno(10048), syscall.EPIPE, false},
		{"no number", errors.New("bind"), syscall.EADDRINUSE, false},
		{"no error", nil, syscall.EADDRINUSE, false},
	} {
		if got := Is(tc.err, tc.target); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

package backend

import (
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
)

// failing is a network that leads nowhere, for one reason.
type failing struct{ why error }

func (f failing) Dial(network, _ string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: network, Err: f.why}
}

// A start waits for servers of which nothing is there yet: neither their names, which
// Kubernetes and Compose know when their containers run, nor a way to them.
func TestServersThatAreAway(t *testing.T) {
	t.Parallel()
	for _, why := range []error{
		&net.DNSError{Err: "no such host", Name: "nats", IsNotFound: true},
		os.NewSyscallError("connect", syscall.EHOSTUNREACH),
		os.NewSyscallError("connect", syscall.ENETUNREACH),
	} {
		_, err := Connect(testContext(t), Config{URL: "nats://127.0.0.1:1"}, nats.SetCustomDialer(failing{why}))
		wantAway(t, err)
	}
}

// So it does for a server whose balancer or published port is there before it.
func TestServersBehindADoor(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	_, err = Connect(testContext(t), Config{URL: "nats://" + ln.Addr().String()})
	wantAway(t, err)
}

func wantAway(t *testing.T, err error) {
	t.Helper()
	if err == nil || !Passing(err) || !hasAll(err.Error(), "no NATS server answers at nats://127.0.0.1", "start it") {
		t.Errorf("Connect = %v, which waiting can mend: %v", err, err != nil && Passing(err))
	}
}

package hubtest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Cable is a TCP link to an address that can be cut. Its methods are safe for
// concurrent use.
type Cable struct {
	to string
	ln net.Listener

	mu   sync.Mutex
	cut  bool
	ends map[net.Conn]struct{}
}

// NewCable makes a link until the end of t.
func NewCable(t *testing.T, to string) *Cable {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cable{to: to, ln: ln, ends: map[net.Conn]struct{}{}}
	t.Cleanup(func() {
		_ = ln.Close()
		c.Cut()
	})
	go c.accept()
	return c
}

// Addr is where the link begins.
func (c *Cable) Addr() string { return c.ln.Addr().String() }

// Cut ends what runs over the link, and lets nothing through until Mend.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for e := range c.ends {
		_ = e.Close()
	}
	clear(c.ends)
}

// Mend lets connections through again.
func (c *Cable) Mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
}

func (c *Cable) accept() {
	for {
		from, err := c.ln.Accept()
		if err != nil {
			return
		}
		to, err := new(net.Dialer).DialContext(context.Background(), "tcp", c.to)
		if err != nil {
			_ = from.Close()
			continue
		}
		if !c.add(from, to) {
			_, _ = from.Close(), to.Close()
			continue
		}
		go pass(from, to)
		go pass(to, from)
	}
}

// add notes the ends of a connection, unless the link is cut.
func (c *Cable) add(ends ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return false
	}
	for _, e := range ends {
		c.ends[e] = struct{}{}
	}
	return true
}

func pass(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), from.Close()
}

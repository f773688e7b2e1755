//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// relay forwards TCP connections to one place, unless it is told otherwise.
// It is safe for concurrent use.
type relay struct {
	ln     net.Listener
	target string

	mu    sync.Mutex
	open  chan struct{} // closed while bytes pass
	delay time.Duration // of every chunk, on its way in either direction
	pairs map[*pair]bool
}

// pair is two connections whose bytes go to each other.
type pair struct{ a, b net.Conn }

func newRelay(addr, target string) (*relay, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for a relay: %w", err)
	}
	r := &relay{ln: ln, target: target, open: make(chan struct{}), pairs: map[*pair]bool{}}
	close(r.open)
	go r.accept()
	return r, nil
}

func (r *relay) accept() {
	for {
		c, err := r.ln.Accept()
		if err != nil {
			return
		}
		go r.serve(c)
	}
}

// serve dials the target when bytes pass: until then the peer waits, as it
// would for a host that nothing comes back from.
func (r *relay) serve(c net.Conn) {
	r.pass()
	d := net.Dialer{Timeout: 5 * time.Second}
	up, err := d.DialContext(context.Background(), "tcp", r.target)
	if err != nil {
		reset(c)
		return
	}
	p := &pair{c, up}
	r.mu.Lock()
	r.pairs[p] = true
	r.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { r.pump(p.a, p.b) })
	wg.Go(func() { r.pump(p.b, p.a) })
	wg.Wait()
	r.mu.Lock()
	delete(r.pairs, p)
	r.mu.Unlock()
}

// pass waits while nothing may pass, and for the delay.
func (r *relay) pass() {
	for {
		r.mu.Lock()
		open, delay := r.open, r.delay
		r.mu.Unlock()
		select {
		case <-open:
			if delay > 0 {
				<-time.After(delay)
			}
			return
		default:
			<-open
		}
	}
}

// pump copies from one to the other until either ends. While the relay is shut
// it reads no more, and keeps what it has.
func (r *relay) pump(dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		r.pass() // also an end does not get through
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// shut lets nothing through, without closing anything.
func (r *relay) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.open:
		r.open = make(chan struct{})
	default:
	}
}

// heal lets everything through at once.
func (r *relay) heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = 0
	select {
	case <-r.open:
	default:
		close(r.open)
	}
}

// slow delays what passes.
func (r *relay) slow(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = d
}

func (r *relay) close() {
	_ = r.ln.Close()
	r.heal()
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		_ = p.a.Close()
		_ = p.b.Close()
	}
}

// reset closes a connection by RST.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

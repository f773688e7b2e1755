//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// balancer takes connections of devices to the nodes in turn, as a plain TCP
// load balancer does: it knows only who accepts. It is safe for concurrent use.
type balancer struct {
	ln    net.Listener
	nodes []string // addresses

	mu    sync.Mutex
	next  int
	links map[string]*link // by the address of the device's end
}

// link is one connection of a device.
type link struct {
	pair
	node   int
	remote string // how the node calls the device
}

func newBalancer(addr string, nodes []string) (*balancer, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	b := &balancer{ln: ln, nodes: nodes, links: map[string]*link{}}
	go b.accept()
	return b, nil
}

func (b *balancer) addr() string { return b.ln.Addr().String() }

func (b *balancer) accept() {
	for {
		c, err := b.ln.Accept()
		if err != nil {
			return
		}
		go b.serve(c)
	}
}

func (b *balancer) serve(c net.Conn) {
	l := b.dial(c)
	if l == nil {
		reset(c)
		return
	}
	key := c.RemoteAddr().String()
	b.mu.Lock()
	b.links[key] = l
	b.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { l.copy(l.b, l.a) })
	wg.Go(func() { l.copy(l.a, l.b) })
	wg.Wait()
	b.mu.Lock()
	if b.links[key] == l {
		delete(b.links, key)
	}
	b.mu.Unlock()
}

func (l *link) copy(dst, src net.Conn) {
	_, _ = io.Copy(dst, src)
	_ = dst.Close()
	_ = src.Close()
}

// dial asks one node after another.
func (b *balancer) dial(c net.Conn) *link {
	for range b.nodes {
		b.mu.Lock()
		n := b.next
		b.next = (b.next + 1) % len(b.nodes)
		b.mu.Unlock()
		d := net.Dialer{Timeout: time.Second}
		up, err := d.DialContext(context.Background(), "tcp", b.nodes[n])
		if err == nil {
			return &link{pair: pair{c, up}, node: n, remote: up.LocalAddr().String()}
		}
	}
	return nil
}

// find returns where a device's connection leads, by its own address.
func (b *balancer) find(local string) (node int, remote string, found bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.links[local]
	if l == nil {
		return 0, "", false
	}
	return l.node, l.remote, true
}

// cut resets all connections.
func (b *balancer) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.links {
		reset(l.a)
		reset(l.b)
	}
}

func (b *balancer) close() {
	_ = b.ln.Close()
	b.cut()
}

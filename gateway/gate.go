package gateway

import (
	"container/list"
	"io"
	"sync"
)

// gate bounds the peers who hold a socket but have not completed CONNECT. When
// it is full, the peer who has waited longest goes, so that silent peers can't
// keep new devices out: a real device is through in a fraction of a second.
type gate struct {
	limit int

	mu     sync.Mutex
	queue  list.List // of *ticket, oldest first
	pushed uint64    // peers that had to go
}

// relieve closes the oldest peer, when no file descriptor is free for a newer
// one. It reports whether there was one.
func (g *gate) relieve() bool {
	g.mu.Lock()
	front := g.queue.Front()
	if front == nil {
		g.mu.Unlock()
		return false
	}
	oldest := g.queue.Remove(front).(*ticket)
	oldest.elem = nil
	g.pushed++
	g.mu.Unlock()
	_ = oldest.nc.Close()
	return true
}

// ticket is a place in the gate.
type ticket struct {
	gate *gate
	nc   io.Closer
	elem *list.Element
}

// enter takes a place for nc, closing the oldest peer when none is free.
func (g *gate) enter(nc io.Closer) *ticket {
	t := &ticket{gate: g, nc: nc}
	g.mu.Lock()
	var oldest *ticket
	if g.queue.Len() >= g.limit {
		oldest = g.queue.Remove(g.queue.Front()).(*ticket)
		oldest.elem = nil
		g.pushed++
	}
	t.elem = g.queue.PushBack(t)
	g.mu.Unlock()
	if oldest != nil {
		_ = oldest.nc.Close()
	}
	return t
}

// explain returns err, which a handshake failed with, or, if t has lost its
// place, that. It is for before leave.
func (t *ticket) explain(err error) error {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	if t.elem != nil {
		return err
	}
	return errCrowded
}

// leave gives the place back, if t still has it. It may be called more than
// once.
func (t *ticket) leave() {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	if t.elem != nil {
		t.gate.queue.Remove(t.elem)
		t.elem = nil
	}
}

// waiting is the number of peers inside.
func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.queue.Len()
}

// evicted is the number of peers that had to go so far.
func (g *gate) evicted() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pushed
}

package gateway

import (
	"container/list"
	"io"
	"sync"
)

// gate bounds the peers who hold a socket but have not completed CONNECT. When
// it is full, the peer goes for whom we have waited longest, so that silent
// peers can't keep new devices out: a real device is through in a fraction of a
// second. Who waits for us does not go: when a fleet comes back at once, those
// who are furthest would be the first. If we owe something to all of them, the
// newcomer waits outside, in the kernel's queue.
type gate struct {
	limit int

	mu     sync.Mutex
	idle   list.List // of *ticket for whose peer we wait, the longest first
	busy   int       // tickets whose peer waits for us
	pushed uint64    // peers that had to go
	shut   bool      // nobody waits to enter any more
	room   sync.Cond // of idle, busy or shut
}

// relieve closes the peer who lets us wait longest, when no file descriptor is
// free for a newer one. It reports whether there was one.
func (g *gate) relieve() bool {
	g.mu.Lock()
	oldest := g.push()
	g.mu.Unlock()
	if oldest == nil {
		return false
	}
	_ = oldest.nc.Close()
	return true
}

// push takes the place of the peer who lets us wait longest; nil when there is
// none. g.mu is held.
func (g *gate) push() *ticket {
	front := g.idle.Front()
	if front == nil {
		return nil
	}
	t := g.idle.Remove(front).(*ticket)
	t.elem, t.state = nil, pushedOut
	g.pushed++
	return t
}

// ticket is a place in the gate.
type ticket struct {
	gate  *gate
	nc    io.Closer
	state ticketState
	elem  *list.Element // of gate.idle
}

type ticketState byte

const (
	theirs    ticketState = iota // we wait for the peer
	ours                         // the peer waits for us
	pushedOut                    // he had to go
	left                         // he has left
)

// enter takes a place for nc, closing another peer or waiting when none is
// free.
func (g *gate) enter(nc io.Closer) *ticket {
	t := &ticket{gate: g, nc: nc}
	g.mu.Lock()
	g.room.L = &g.mu
	for g.idle.Len() == 0 && g.busy >= g.limit && !g.shut {
		g.room.Wait()
	}
	var oldest *ticket
	if g.idle.Len()+g.busy >= g.limit {
		oldest = g.push()
	}
	t.elem = g.idle.PushBack(t)
	g.mu.Unlock()
	if oldest != nil {
		_ = oldest.nc.Close()
	}
	return t
}

// close lets in who waits to enter: the listeners are closed.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	g.room.Broadcast()
}

// owe says whether the peer waits for us, or we for him.
func (t *ticket) owe(we bool) {
	g := t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case we && t.state == theirs:
		g.idle.Remove(t.elem)
		t.elem, t.state = nil, ours
		g.busy++
	case !we && t.state == ours:
		g.busy--
		t.elem, t.state = g.idle.PushBack(t), theirs
		g.room.Signal()
	}
}

// explain returns err, which a handshake failed with, or, if t has lost its
// place, that. It is for before leave.
func (t *ticket) explain(err error) error {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	if t.state == pushedOut {
		return errCrowded
	}
	return err
}

// leave gives the place back, if t still has it. It may be called more than
// once.
func (t *ticket) leave() {
	g := t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	switch t.state {
	case theirs:
		g.idle.Remove(t.elem)
	case ours:
		g.busy--
	case pushedOut, left:
		return
	}
	t.elem, t.state = nil, left
	g.room.Signal()
}

// waiting is the number of peers inside.
func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.idle.Len() + g.busy
}

// evicted is the number of peers that had to go so far.
func (g *gate) evicted() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pushed
}

package gateway

import (
	"container/list"
	"io"
	"sync"
	"time"
)

// gate bounds the peers who hold a socket but have not completed CONNECT. When
// it is full, the peer goes for whom we have waited longest, so that silent
// peers can't keep new devices out: a real device is through in a fraction of a
// second. But nobody goes who waits for us, nor before he had a moment: when a
// fleet comes back at once, those who are furthest would be the first. Until
// there is somebody who may go, the newcomer waits outside, in the kernel's
// queue.
type gate struct {
	limit int

	mu     sync.Mutex
	silent list.List // of *ticket who let us wait before we have answered anything, the longest first
	begun  list.List // of those who do so after that
	busy   int       // tickets whose peer waits for us
	pushed uint64    // peers that had to go
	shut   bool      // nobody waits to enter any more
	room   sync.Cond // of what is above
}

// How long we wait for a peer before he may have to go: for all that we need
// for an answer, the less the fewer places there are, and for what follows our
// answer, for which he may have to compute as much as we.
const (
	minSilentGrace = 250 * time.Millisecond
	maxSilentGrace = time.Second
	gracePerPlace  = 250 * time.Microsecond // 4000 silent peers a second do not fill the gate
	begunGrace     = 3 * time.Second
)

func (g *gate) silentGrace() time.Duration {
	return min(max(time.Duration(g.limit)*gracePerPlace, minSilentGrace), maxSilentGrace)
}

func (g *gate) inside() int { return g.silent.Len() + g.begun.Len() + g.busy }

// relieve closes the peer who lets us wait longest, when no file descriptor is
// free for a newer one. It reports whether there was one.
func (g *gate) relieve() bool {
	g.mu.Lock()
	front := g.silent.Front()
	if front == nil {
		front = g.begun.Front()
	}
	var oldest *ticket
	if front != nil {
		oldest = g.push(front)
	}
	g.mu.Unlock()
	if oldest == nil {
		return false
	}
	_ = oldest.nc.Close()
	return true
}

// late returns a peer who has to go for a newer one, or else how long it takes
// until there may be one; 0: until something changes. g.mu is held.
func (g *gate) late(now time.Time) (oldest *ticket, wait time.Duration) {
	for _, idle := range []struct {
		of    *list.List
		grace time.Duration
	}{{&g.silent, g.silentGrace()}, {&g.begun, begunGrace}} {
		front := idle.of.Front()
		if front == nil {
			continue
		}
		left := idle.grace - now.Sub(front.Value.(*ticket).since) //nolint:forcetypeassert // nothing else is in it
		if left <= 0 {
			return g.push(front), 0
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return nil, wait
}

// push takes a peer's place from him. g.mu is held.
func (g *gate) push(e *list.Element) *ticket {
	t := e.Value.(*ticket) //nolint:forcetypeassert // nothing else is in it
	t.idle().Remove(e)
	t.elem, t.state = nil, pushedOut
	g.pushed++
	return t
}

// ticket is a place in the gate.
type ticket struct {
	gate  *gate
	nc    io.Closer
	state ticketState
	begun bool          // we have answered something
	since time.Time     // we wait for him
	elem  *list.Element // of the gate's lists
}

type ticketState byte

const (
	ours      ticketState = iota // the peer waits for us, as he does at first
	theirs                       // we wait for him
	pushedOut                    // he had to go
	left                         // he has left
)

// idle is where a ticket is while we wait for its peer.
func (t *ticket) idle() *list.List {
	if t.begun {
		return &t.gate.begun
	}
	return &t.gate.silent
}

// enter takes a place for nc, closing another peer or waiting when none is
// free.
func (g *gate) enter(nc io.Closer) *ticket {
	t := &ticket{gate: g, nc: nc}
	g.mu.Lock()
	g.room.L = &g.mu
	var oldest *ticket
	for g.inside() >= g.limit && !g.shut {
		var wait time.Duration
		if oldest, wait = g.late(time.Now()); oldest != nil {
			break
		}
		g.await(wait)
	}
	g.busy++
	g.mu.Unlock()
	if oldest != nil {
		_ = oldest.nc.Close()
	}
	return t
}

// await waits for a change, or for so long. g.mu is held.
func (g *gate) await(most time.Duration) {
	if most > 0 {
		timer := time.AfterFunc(most, g.room.Broadcast)
		defer timer.Stop()
	}
	g.room.Wait()
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
		t.idle().Remove(t.elem)
		t.elem, t.state = nil, ours
		g.busy++
	case !we && t.state == ours:
		g.busy--
		t.since = time.Now()
		t.elem, t.state = t.idle().PushBack(t), theirs
		g.room.Signal()
	}
}

// answered says that the peer has got an answer.
func (t *ticket) answered() {
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	if t.state == ours {
		t.begun = true
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
		t.idle().Remove(t.elem)
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
	return g.inside()
}

// evicted is the number of peers that had to go so far.
func (g *gate) evicted() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pushed
}

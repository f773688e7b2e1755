package gateway

import (
	"errors"
	"time"
)

// errHalted says that a connection reads on only when it may: when there is room in its
// window, or when a pause is over.
var errHalted = errors.New("the reader waits for something else than its client")

// halt is why a reader halts, and whether it does.
type halt struct {
	// Owned by the reader.
	wanted int           // size of the packet for which there was no room
	pause  time.Duration // which is due; 0: none

	// Under mu.
	on       bool
	resumeAt int // when so few packets are pending; -1: at the end of a pause
}

// halts ends the part of the reader until resumeHalted calls the next one. It returns
// false when the reader has to go on at once.
func (c *conn) halts() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.halt
	switch {
	case c.cause != nil:
		return false
	case h.pause > 0:
		h.resumeAt = -1
		c.more().pause = time.AfterFunc(h.pause, c.pauseOver)
	case c.hasRoom(h.wanted):
		return false
	default:
		// To go on after each packet would cost more than to store it.
		h.resumeAt = (c.pending.len() + 1) / 2
		c.srv.counts.full.Add(1)
	}
	h.on = true
	return true
}

// resumeHalted has a halted connection read on. c.mu is held.
func (c *conn) resumeHalted() {
	if !c.halt.on {
		return
	}
	c.halt.on = false
	if c.halt.resumeAt < 0 {
		c.more().pause.Stop() // it would keep a connection that has ended
	}
	if c.watch.on() {
		c.srv.reads.add(c)
	} else {
		c.changed.Broadcast()
	}
}

// roomMade has a connection read on that has halted until enough is stored. c.mu is
// held.
func (c *conn) roomMade() {
	if c.pending.len() <= c.halt.resumeAt {
		c.resumeHalted()
	}
}

// pauseOver ends a pause.
func (c *conn) pauseOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resumeHalted()
}

// rejoin is for the reader who goes on: the silence of a client who was read no further
// is not his own.
func (c *conn) rejoin() {
	if c.halt.pause > 0 {
		c.halt.pause = 0
		c.armRead(time.Now())
	}
}

// sitOut waits in the place of the reader of a connection that is not watched.
func (c *conn) sitOut() {
	if !c.halts() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.halt.on {
		c.changed.Wait()
	}
}

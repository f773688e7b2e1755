package gateway

import (
	"errors"
	"sync/atomic"
	"time"
)

// watch is for a connection that has no goroutine while it waits for its client. Its
// socket is watched, and its reader is whichever worker takes its turn.
type watch struct {
	state atomic.Int32
	place int32       // in the poller
	alarm *time.Timer // of silence and of the end of the admission; see on. Under mu
	late  atomic.Bool // the alarm has come, and the client is still silent
}

// The states of a watch. One who is not watched reads for ever.
const (
	reading int32 = iota // somebody reads
	noticed              // somebody reads, and may have missed what is there now
	waiting              // nobody reads
)

// on reports whether there is a watch: its alarm is set, then. c.mu is held.
func (w *watch) on() bool { return w.alarm != nil }

// notice says that there may be something to read. It reports whether the caller is the
// reader now.
func (w *watch) notice() bool {
	return !w.state.CompareAndSwap(reading, noticed) && w.state.CompareAndSwap(waiting, reading)
}

// rest ends the part of the reader, unless he may have missed something. After true
// another one may have begun.
func (w *watch) rest() bool {
	if w.state.CompareAndSwap(reading, waiting) {
		return true
	}
	w.state.Store(reading)
	return false
}

// notice has c read, if nobody does. It does not block.
func (c *conn) notice() {
	if c.noticed() {
		c.srv.reads.add(c)
	}
}

// noticed says that there may be something to read. After true the caller must see to it
// that somebody reads.
func (c *conn) noticed() bool {
	if !c.watch.notice() {
		return false
	}
	c.src.socket().stir()
	return true
}

// turn is a watched connection's reader until nothing is there to be read, until it has
// to halt, or until the connection ends.
func (c *conn) turn() {
	for {
		cause := c.read()
		switch {
		case errors.Is(cause, errHalted):
			if c.halts() {
				return
			}
		case errors.Is(cause, errLater):
			if c.watch.rest() {
				return
			}
			c.src.socket().stir()
		default:
			c.stop(cause)
			c.finish()
			return
		}
	}
}

// watched has the source of c watched from now on, if that can be.
func (c *conn) watched() bool {
	s := c.src.socket()
	if s == nil {
		return false
	}
	p := c.srv.pollers.get()
	if p == nil || p.add(c) != nil {
		return false
	}
	s.watch()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readArmed = c.started
	c.watch.alarm = time.AfterFunc(time.Until(c.deadline()), c.overdue)
	return true
}

// unwatch lets go what watches an ended connection.
func (c *conn) unwatch() {
	c.mu.Lock()
	watched := c.watch.on()
	c.mu.Unlock()
	if watched {
		c.watch.alarm.Stop()
		c.srv.pollers.get().remove(c)
	}
}

// overdue is called by the alarm.
func (c *conn) overdue() {
	c.mu.Lock()
	due, ended := c.deadline(), c.cause != nil
	left := time.Until(due)
	c.watch.late.Store(left <= 0)
	if left > 0 && !ended {
		c.watch.alarm.Reset(left)
	}
	c.mu.Unlock()
	switch {
	case left > 0 || ended:
	case due.Equal(c.expires):
		c.stop(c.expired())
	default:
		c.notice() // the reader may know better
	}
}

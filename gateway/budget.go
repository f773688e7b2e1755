package gateway

import (
	"sync/atomic"

	"github.com/hubgate/hubgate/hub"
)

// budget bounds the memory that peers make a node hold together: unfinished
// packets, and output that is not read. It counts only what has grown beyond
// what a connection in use takes anyway, so that counting costs nothing as long
// as all is well.
type budget struct {
	limit int64 // bytes; 0: none
	used  atomic.Int64
	going atomic.Int64 // of used, what connections hold that were told to end
	busy  atomic.Bool  // somebody looks for the hungriest
	cut   atomic.Uint64
}

// countedOutput is the length from which output is counted.
const countedOutput = 8 << 10

// exceeded reports whether more is held than the limit, leaving out what is
// about to be free.
func (b *budget) exceeded() bool {
	return b.limit > 0 && b.used.Load()-b.going.Load() > b.limit
}

// tight reports whether connections should keep one message in flight only.
func (b *budget) tight() bool { return b.limit > 0 && b.used.Load() > b.limit-b.limit/4 }

// hold counts delta bytes more that c holds. When that is too much, those go who
// hold most, this one or others.
func (c *conn) hold(delta int64) {
	if delta == 0 {
		return
	}
	b := &c.srv.memory
	c.mu.Lock()
	if c.released { // by the end, while a writer was stuck
		c.mu.Unlock()
		return
	}
	c.held.Add(delta)
	c.mu.Unlock()
	b.used.Add(delta)
	if delta > 0 && b.exceeded() {
		c.srv.relieveMemory()
	}
}

// holdInput counts the buffer of an unfinished packet; the reader calls it.
func (c *conn) holdInput(in *inbox) {
	n := 0
	if in != nil {
		n = cap(in.buf)
	}
	c.hold(int64(n - c.heldInput))
	c.heldInput = n
}

// outputGrown returns by how much the counted output has grown; c.mu is held,
// so that the caller has to call hold later.
func (c *conn) outputGrown() int64 {
	if len(c.out) < countedOutput {
		return 0
	}
	delta := len(c.out) - c.heldOutput
	c.heldOutput += delta
	return int64(delta)
}

// releaseMemory gives back all that an ended connection has held.
func (c *conn) releaseMemory() {
	c.mu.Lock()
	c.released = true
	n := c.held.Swap(0)
	c.mu.Unlock()
	c.srv.memory.used.Add(-n)
	c.srv.memory.going.Add(-c.condemned.Swap(0))
}

// relieveMemory ends those who hold most, until the rest fits.
func (s *Server) relieveMemory() {
	b := &s.memory
	if !b.busy.CompareAndSwap(false, true) {
		return
	}
	defer b.busy.Store(false)
	for b.exceeded() {
		var worst *conn
		for _, c := range s.live.all() {
			if c.condemned.Load() == 0 && (worst == nil || c.held.Load() > worst.held.Load()) {
				worst = c
			}
		}
		if worst == nil || worst.held.Load() <= 0 {
			return
		}
		n := worst.held.Load()
		worst.condemned.Store(n)
		b.going.Add(n)
		b.cut.Add(1)
		worst.stop(hub.Errorf(hub.Throttled, "the connections of this node hold more than %d bytes for their clients (limits.memory), and this one held most: %d", b.limit, n))
	}
}

// errMemory refuses a CONNECT that would not fit.
var errMemory = hub.Errorf(hub.Throttled, "the connections of this node hold as much as they may for their clients (limits.memory)")

// growHandshake counts what a peer makes the node hold before his CONNECT is
// complete. It is refused what does not fit: others hold more.
func (s *Server) growHandshake(held *int64, in *inbox) error {
	if n := int64(cap(in.buf)); n > readBufferSize && n > *held {
		s.memory.used.Add(n - *held)
		*held = n
		if s.memory.exceeded() {
			return errMemory
		}
	}
	return nil
}

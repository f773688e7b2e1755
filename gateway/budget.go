package gateway

import (
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// budget bounds the memory that peers make a node hold together: unfinished
// packets, and output that is not read. It counts only what has grown beyond
// what a connection in use takes anyway, so that counting costs nothing as long
// as all is well.
type budget struct {
	limit atomic.Int64 // bytes; 0: none
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
	limit := b.limit.Load()
	return limit > 0 && b.used.Load()-b.going.Load() > limit
}

// tight reports whether connections should keep one message in flight only.
func (b *budget) tight() bool {
	limit := b.limit.Load()
	return limit > 0 && b.used.Load() > limit-limit/4
}

// rare is what a connection needs that is limited, or holds much: most idle ones
// do without.
type rare struct {
	account Account
	pause   *time.Timer // ends the pause; under mu

	heldInput  int  // bytes of an unfinished packet, as counted; the reader's
	heldOutput int  // of output, as counted; under mu
	released   bool // what was held is given back; under mu

	traced []traced // in the order of their tags; under mu
	left   bool     // nobody hears of what is stored any more; under mu

	held      atomic.Int64 // of both
	condemned atomic.Int64 // of them, what counts as free soon
}

// more returns what is rare of c, which it makes if need be.
func (c *conn) more() *rare {
	if r := c.rare.Load(); r != nil {
		return r
	}
	r := &rare{}
	r.account.Open(c.srv.Limiter)
	if !c.rare.CompareAndSwap(nil, r) {
		return c.rare.Load()
	}
	return r
}

// hold counts delta bytes more that c holds. When that is too much, those go who
// hold most, this one or others.
func (c *conn) hold(delta int) {
	if delta == 0 {
		return
	}
	b, r, n := &c.srv.memory, c.more(), int64(delta)
	c.mu.Lock()
	if r.released { // by the end, while a writer was stuck
		c.mu.Unlock()
		return
	}
	r.held.Add(n)
	c.mu.Unlock()
	b.used.Add(n)
	if n > 0 && b.exceeded() {
		c.srv.relieveMemory()
	}
}

// holdInput counts the buffer of an unfinished packet; the reader calls it.
func (c *conn) holdInput(in *inbox) {
	n := 0
	if in != nil {
		n = cap(in.buf)
	} else if c.rare.Load() == nil {
		return
	}
	r := c.more()
	c.hold(n - r.heldInput)
	r.heldInput = n
}

// outputGrown returns by how much the counted output has grown; c.mu is held,
// so that the caller has to call hold later.
func (c *conn) outputGrown() int {
	if len(c.out) < countedOutput {
		return 0
	}
	r := c.more()
	delta := len(c.out) - r.heldOutput
	r.heldOutput += delta
	return delta
}

// outputTaken returns what was counted of the output that is being written now;
// c.mu is held, and the caller has to give it back to hold.
func (c *conn) outputTaken() int {
	r := c.rare.Load()
	if r == nil {
		return 0
	}
	n := r.heldOutput
	r.heldOutput = 0
	return n
}

// releaseMemory gives back all that an ended connection has held.
func (c *conn) releaseMemory() {
	r := c.rare.Load()
	if r == nil {
		return
	}
	c.mu.Lock()
	r.released = true
	n := r.held.Swap(0)
	c.mu.Unlock()
	c.srv.memory.used.Add(-n)
	c.srv.memory.going.Add(-r.condemned.Swap(0))
}

// relieveMemory ends those who hold most, until the rest fits.
func (s *Server) relieveMemory() {
	b := &s.memory
	if !b.busy.CompareAndSwap(false, true) {
		return
	}
	defer b.busy.Store(false)
	for b.exceeded() {
		worst, n := s.hungriest()
		if worst == nil {
			return
		}
		if !worst.condemn(n) {
			continue
		}
		b.cut.Add(1)
		worst.stop(hub.Errorf(hub.Throttled, "the connections of this node hold more than %d bytes for their clients (limits.memory), and this one held most: %d", b.limit.Load(), n))
	}
}

// condemn counts n of what c holds as free soon. It returns false when c has ended
// meanwhile.
func (c *conn) condemn(n int64) bool {
	r := c.more()
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.released {
		return false
	}
	r.condemned.Store(n)
	c.srv.memory.going.Add(n)
	return true
}

// hungriest returns the connection that holds most of those that are to stay.
func (s *Server) hungriest() (worst *conn, most int64) {
	for _, c := range s.live.all() {
		r := c.rare.Load()
		if r == nil || r.condemned.Load() != 0 {
			continue
		}
		if n := r.held.Load(); n > most {
			worst, most = c, n
		}
	}
	return worst, most
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

package gateway

import (
	"math"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// outBufferSize is the first size of an output buffer: 256 PUBACKs.
const outBufferSize = 1 << 10

// maxOutput is how much may wait for a peer who does not read.
const maxOutput = 1 << 20

// outputs holds the output buffers of all connections that have nothing to
// send now.
type outputs struct{ pool sync.Pool }

func (p *outputs) get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, outBufferSize)
}

func (p *outputs) put(b []byte) {
	if cap(b) <= 16*outBufferSize {
		p.pool.Put(&b)
	}
}

// maxOffered is how much may wait before a message that yields is refused: what does not
// has the rest.
const maxOffered = maxOutput / 2

// enqueue queues packets, and has them written. It fails when the connection
// has ended, and ends it when the client does not read.
func (c *conn) enqueue(packets []byte) error { return c.queue(packets, math.MaxInt) }

// queue is enqueue for packets that are refused when more than most waits already.
func (c *conn) queue(packets []byte, most int) error {
	c.mu.Lock()
	if c.cause != nil {
		defer c.mu.Unlock()
		return c.cause
	}
	if len(c.out) > most {
		defer c.mu.Unlock()
		return hub.Errorf(hub.QuotaExceeded, "%s has not read %d bytes that it was sent", c.session.ID, len(c.out))
	}
	if c.out == nil {
		c.out = c.srv.outputs.get()
	}
	c.out = append(c.out, packets...)
	tooMuch := len(c.out) > maxOutput
	start, grown := c.startWriting(), c.outputGrown()
	c.mu.Unlock()
	c.hold(grown)
	if start {
		c.srv.writes.add(c)
	}
	if tooMuch {
		c.stop(errSlowReader)
		return errSlowReader
	}
	return nil
}

// startWriting reports whether the caller must have c flushed; c.mu is held.
func (c *conn) startWriting() bool {
	if c.writing || len(c.out) == 0 {
		return false
	}
	c.writing = true
	return true
}

// flush writes what waits. If more has come meanwhile, c goes to the end of the line.
func (c *conn) flush() {
	if c.flushSome() {
		c.srv.writes.add(c)
	}
}

// flushSome writes what waits now, which must be something, and reports whether there
// is more. Only one goroutine at a time does.
func (c *conn) flushSome() (more bool) {
	c.mu.Lock()
	b, held := c.out, c.outputTaken()
	c.out = nil
	c.mu.Unlock()
	if err := c.write(b); err != nil {
		c.tear()
		c.stop(writeFailed(err))
	}
	c.srv.outputs.put(b)
	c.hold(-held)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) > 0 {
		return true
	}
	c.writing = false
	if c.cause == nil && c.src.socket() == nil {
		// A WebSocket's deadline that comes while nobody writes may end the next write.
		_ = c.src.SetWriteDeadline(time.Time{})
		c.writeArmed = time.Time{}
	}
	c.changed.Broadcast()
	return false
}

// tear notes that a write has failed.
func (c *conn) tear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.torn = true
}

// write is called by the one goroutine that flushes.
func (c *conn) write(b []byte) error {
	// Arming a deadline costs as much as a small write, so it is moved on only
	// when a quarter of it is gone.
	if now := time.Now(); now.Sub(c.writeArmed) > c.srv.Limits.WriteTimeout/4 {
		c.armWrite(now)
	}
	n, err := c.src.Write(b)
	c.srv.counts.bytesOut.Add(uint64(n)) //nolint:gosec // never negative
	return err
}

package gateway

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/timeline"
)

// minWait is the shortest pause that is worth a timer; what is shorter waits
// until it has added up.
const minWait = 2 * time.Millisecond

// batch is what one read had in it.
type batch struct {
	messages int
	unacked  int // of them, with QoS 0
	requests int // to topics that begin with $
	bytes    int
}

func (b *batch) add(p mqtt.Packet, size int) {
	b.bytes += size
	m, ok := p.(*mqtt.Publish)
	if !ok {
		return
	}
	if isRequest(m) { // they have limits of their own
		b.requests++
		return
	}
	b.messages++
	if m.QoS == 0 {
		b.unacked++
	}
}

// isRequest reports whether a message asks the hub for something.
func isRequest(m *mqtt.Publish) bool { return len(m.Topic) > 0 && m.Topic[0] == '$' }

func (b *batch) manner() Manner {
	if b.messages == 0 || 2*b.unacked < b.messages {
		return Obeys
	}
	return Presses
}

// throttle charges what was read to the limits and fails with errHalted if it was too
// much: the reader pauses. It comes between two reads, when nothing but an unfinished
// packet is held for the client; the writers go on meanwhile. Any other error ends the
// connection.
func (c *conn) throttle(b batch) error {
	l := c.srv.Limiter
	if b.bytes == 0 || l.current(Messages) == nil && l.current(Bytes) == nil {
		return nil
	}
	now := time.Now()
	account := &c.more().account
	e := account.Slow(Messages, b.messages, now, b.manner())
	if more := account.Slow(Bytes, b.bytes, now, b.manner()); e == nil || more != nil && more.Wait > e.Wait {
		e = more
	}
	if e == nil || e.Wait < minWait {
		return nil
	}
	if e.Cut {
		return e.Err
	}
	if e.First {
		c.srv.describe(c.srv.record(zerolog.InfoLevel, c.entry(timeline.Throttled), e.Err), c).Dur("pause", e.Wait).Msg("throttled")
	}
	return c.pause(e.Wait)
}

// pause has the reader halt for a time, or until the connection ends. Silence is
// counted from its end.
func (c *conn) pause(d time.Duration) error {
	if !c.expires.IsZero() {
		d = min(d, time.Until(c.expires))
	}
	c.halt.pause = max(d, 1)
	return errHalted
}

package gateway

import (
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
)

// Traceable is a [Receipt] that ends the spans of messages. Its methods are called
// from inside [Handler.Publish] only.
type Traceable interface {
	Receipt
	// Came is when the packet was read that is being handled.
	Came() time.Time
	// Trace has s end when the PUBACK of the message of tag is ready to be written,
	// or when it never will be. A message with QoS 0 has none, and is stored then.
	// Stored is not called before it.
	Trace(tag uint64, s span.Span)
}

var _ Traceable = (*conn)(nil)

// errNoPuback is how the span of a message ends that was stored too late.
var errNoPuback = hub.Errorf(hub.ConnectionLost, "the connection ended before the message was acknowledged")

// traced is the span of a message whose PUBACK is not ready.
type traced struct {
	tag   uint64
	span  span.Span
	acked bool // it has QoS 1
}

// Came implements [Traceable].
func (c *conn) Came() time.Time {
	return time.Now().Add(-time.Duration(c.srv.ticks()-c.came) * time.Microsecond)
}

// Trace implements [Traceable].
func (c *conn) Trace(tag uint64, s span.Span) {
	r := c.more()
	c.mu.Lock()
	defer c.mu.Unlock()
	r.traced = append(r.traced, traced{tag, s, c.pending.at(tag).id != 0})
}

// untrace takes out the spans that end now that the message of tag is stored:
// those whose PUBACKs are ready, and when nobody is left to get it, its own. c.mu
// is held.
func (c *conn) untrace(tag uint64) (spans []traced, late bool) {
	r := c.rare.Load()
	if r == nil || len(r.traced) == 0 {
		return nil, false
	}
	return r.take(func(t traced) bool { return t.tag < c.pending.head || r.left && t.tag == tag }), r.left
}

// failTrace ends the span of a message that is not stored because of err.
func (c *conn) failTrace(tag uint64, err error) {
	r := c.rare.Load()
	if r == nil {
		return
	}
	c.mu.Lock()
	spans := r.take(func(t traced) bool { return t.tag == tag })
	c.mu.Unlock()
	end(spans, err)
}

// leaveTraces ends the spans of messages that are stored and get no PUBACK any
// more, because the connection has ended. Those that are on their way end when
// they have arrived.
func (c *conn) leaveTraces() {
	r := c.rare.Load()
	if r == nil {
		return
	}
	c.mu.Lock()
	r.left = true
	spans := r.take(func(t traced) bool { return c.pending.at(t.tag).stored })
	c.mu.Unlock()
	endLate(spans)
}

// take takes out the spans that match. The connection's mu is held.
func (r *rare) take(match func(traced) bool) (taken []traced) {
	kept := r.traced[:0]
	for _, t := range r.traced {
		if match(t) {
			taken = append(taken, t)
		} else {
			kept = append(kept, t)
		}
	}
	clear(r.traced[len(kept):])
	r.traced = kept
	return taken
}

func end(spans []traced, err error) {
	for _, t := range spans {
		t.span.End(span.Outcome{Err: err})
	}
}

// endLate ends the spans of messages that were stored when nobody was there to
// hear of it.
func endLate(spans []traced) {
	for _, t := range spans {
		if t.acked {
			t.span.End(span.Outcome{Err: errNoPuback})
		} else {
			t.span.End(span.Outcome{})
		}
	}
}

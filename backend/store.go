package backend

import (
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
	"github.com/hubgate/hubgate/telemetry"
)

// overhead is added to a message's size for what the hub adds to it.
const overhead = 512

// Store implements [telemetry.Sink]. It waits while the window is full, first
// come first served. A call from inside done.Stored would wait for itself.
func (e *Engine) Store(m *telemetry.Message, done telemetry.Receipt, tag uint64) {
	s := e.reserve(int64(m.Size()) + overhead)
	if s == nil {
		e.refuse(done, tag)
		return
	}
	m.Headers(&s.headers)
	s.done, s.tag = done, tag
	s.fill(e.names.AppendShardTelemetry(s.storage(), e.shard, m.From), m.Body)
	if e.tracer != nil {
		e.trace(s, m)
	}
	e.submit(s)
}

// trace begins the span of a message on its way into the stream, and tells those
// who read the stream where the trace goes on.
func (e *Engine) trace(s *slot, m *telemetry.Message) {
	if m.Trace.IsZero() {
		return
	}
	about := span.About{ID: m.From, Destination: string(s.subject), Stream: e.stream, Size: len(m.Body)}
	next := m.Trace
	s.span, next = e.tracer.Begin(span.Store, about, next)
	s.headers.AddTrace(next)
}

// reserve waits for a place in the window. It returns nil when the engine is
// closed.
func (e *Engine) reserve(size int64) *slot {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	if e.win.waiting.first == nil && e.win.admits(size) {
		s := e.win.reserve(size)
		e.mu.Unlock()
		return s
	}
	t := e.ticket(size)
	e.win.waiting.push(t)
	e.mu.Unlock()
	s := <-t.ready
	e.tickets.Put(t)
	return s
}

func (e *Engine) ticket(size int64) *ticket {
	t, ok := e.tickets.Get().(*ticket)
	if !ok {
		t = &ticket{ready: make(chan *slot, 1)}
	}
	t.size = size
	return t
}

// submit puts a filled slot in the window and has the pump publish it. Nobody
// else publishes: of two who did, the later message could come first, and both
// would wait for the connection's lock.
func (e *Engine) submit(s *slot) {
	e.mu.Lock()
	e.win.add(s)
	s.stored = e.now()
	if e.over {
		answer := e.settle(s)
		e.mu.Unlock()
		e.failed.Add(1)
		answer.give(errStopping())
		return
	}
	e.mu.Unlock()
	e.kick()
}

// mayPublish says whether message win.next may be published now. e.mu is held.
func (e *Engine) mayPublish() bool {
	switch e.state {
	case flowing:
		return e.win.next < e.win.tail
	case probing:
		return e.win.next < e.win.tail && e.win.next == e.win.head
	case down, stalled:
		fallthrough
	default:
		return false
	}
}

// release gives up a reference to each of the slots.
func (e *Engine) release(slots []*slot) {
	unused := slots[:0]
	for _, s := range slots {
		if s.refs.Add(-1) == 0 {
			unused = append(unused, s)
		}
	}
	if len(unused) > 0 {
		e.mu.Lock()
		for _, s := range unused {
			e.win.recycle(s)
		}
		e.mu.Unlock()
	}
	clear(slots)
}

// refuse answers a call of Store that came too late.
func (e *Engine) refuse(done telemetry.Receipt, tag uint64) {
	e.failed.Add(1)
	done.Stored(tag, errStopping())
}

func errStopping() error {
	return hub.Errorf(hub.ServiceUnavailable, "the gateway is stopping")
}

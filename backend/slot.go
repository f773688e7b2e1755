package backend

import (
	"sync/atomic"
	"unsafe"

	"github.com/hubgate/hubgate/span"
	"github.com/hubgate/hubgate/telemetry"
)

// What an unused slot keeps at most: more than nearly every message needs,
// and little enough that a full window of large ones is not held for ever.
const (
	keepBuffer  = 4 << 10
	keepHeaders = 64
)

// slot holds one message from Store until JetStream has acknowledged it. Its
// storage is used again, so that a message costs no allocation of ours.
//
// The window holds one reference, and whoever publishes the message another
// one meanwhile. The last of them gives the slot back.
type slot struct {
	refs atomic.Int32

	// Written before the slot enters the window, then read only.
	subject []byte // in buf
	body    []byte // in buf
	headers telemetry.Headers
	size    int64
	done    telemetry.Receipt
	tag     uint64
	span    span.Span // nil: it is in no trace

	// Guarded by Engine.mu.
	seq    uint64
	stored int64 // when it entered the window, on the engine's clock
	sent   int64 // when it was last given to NATS; 0: never
	// Of the last publication; the pump reads asks without Engine.mu, and nobody else
	// writes it.
	ordinal uint64 // one more than of the publication before it
	asks    bool   // for an acknowledgement of its own

	buf []byte
}

// storage is where the subject may be appended that fill gets then.
func (s *slot) storage() []byte { return s.buf[:0] }

// fill takes the subject and copies the body, behind the subject if that is in
// storage; s.headers has its headers already.
func (s *slot) fill(subject, body []byte) {
	s.buf = append(subject, body...)
	s.subject, s.body = s.buf[:len(subject)], s.buf[len(subject):]
}

// empty makes the slot ready for another message.
func (s *slot) empty() {
	if s.headers.Len() > keepHeaders || len(s.headers.Wire()) > keepBuffer {
		s.headers = telemetry.Headers{}
	}
	s.headers.Reset()
	if cap(s.buf) > keepBuffer {
		s.buf = nil
	}
	s.subject, s.body = nil, nil
	s.done, s.span = nil, nil
	s.seq, s.stored, s.sent, s.ordinal, s.asks = 0, 0, 0, 0, false
}

// view is b as a string that shares its bytes.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

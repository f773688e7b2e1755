package backend

import (
	"strconv"
	"sync/atomic"
	"unsafe"

	"github.com/nats-io/nats.go"

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
	msg  nats.Msg // its strings and slices point into headers, cells and buf
	size int64
	done telemetry.Receipt
	tag  uint64
	span span.Span // nil: it is in no trace

	// Guarded by Engine.mu.
	seq    uint64
	stored int64 // when it entered the window, on the engine's clock
	sent   int64 // when it was last given to NATS; 0: never

	headers     telemetry.Headers
	headerBytes int
	cells       []string // one header value each
	buf         []byte   // subject and body
}

// fill copies what a message needs; s.headers has its headers already.
func (s *slot) fill(subject, body []byte) {
	s.buf = append(append(s.buf[:0], subject...), body...)
	s.msg.Subject = view(s.buf[:len(subject)])
	s.msg.Data = s.buf[len(subject):]
	n := s.headers.Len()
	if cap(s.cells) < n {
		s.cells = make([]string, n, n+n/2)
	}
	s.cells = s.cells[:n]
	if s.msg.Header == nil {
		s.msg.Header = make(nats.Header, n)
	}
	for i := range n {
		name, value := s.headers.At(i)
		s.headerBytes += len(name) + len(value)
		s.cells[i] = view(value)
		s.msg.Header[view(name)] = s.cells[i : i+1 : i+1]
	}
}

// appendReply appends the reply subject of message seq.
func appendReply(dst []byte, inbox string, seq uint64) []byte {
	return strconv.AppendUint(append(dst, inbox...), seq, 36)
}

// empty makes the slot ready for another message. The strings of the old one
// are forgotten before the bytes behind them change.
func (s *slot) empty() {
	clear(s.msg.Header)
	clear(s.cells)
	s.msg.Subject, s.msg.Reply, s.msg.Data = "", "", nil
	if s.headers.Len() > keepHeaders {
		s.msg.Header, s.cells = nil, nil
	}
	s.headers.Reset()
	if s.headerBytes > keepBuffer {
		s.headers = telemetry.Headers{}
	}
	if cap(s.buf) > keepBuffer {
		s.buf = nil
	}
	s.done, s.span = nil, nil
	s.seq, s.stored, s.sent, s.headerBytes = 0, 0, 0, 0
}

// view is b as a string that shares its bytes.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

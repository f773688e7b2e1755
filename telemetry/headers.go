package telemetry

import (
	"slices"
	"time"

	"github.com/hubgate/hubgate/span"
)

// Header names of what the hub vouches for, as IoT Hub's endpoints name them.
const (
	HeaderDeviceID   = "iothub-connection-device-id"
	HeaderModuleID   = "iothub-connection-module-id"
	HeaderAuthMethod = "iothub-connection-auth-method"
	HeaderGeneration = "iothub-connection-auth-generation-id"
	HeaderEnqueued   = "iothub-enqueuedtime"
	HeaderSource     = "iothub-message-source"
	HeaderModelID    = "dt-dataschema"
)

// AppPrefix begins the header name of every application property and of
// nothing else, so that none of them can stand for anything else.
const AppPrefix = "iothub-app-"

// maxTraced is how long headers may be to which a trace is added, in bytes:
// JetStream takes 64 KiB of them, with what stands between.
const maxTraced = 56 << 10

// nullValue is the header value of a property without value. No encoded text
// is the same: there, two hexadecimal digits follow each %.
const nullValue = "%null"

// Headers is a list of header names and values in one buffer, encoded so that
// they can be written as "name: value" lines, and kept as these lines. The zero
// value is empty and ready; a Headers is used by one goroutine at a time.
type Headers struct {
	buf    []byte // "name: value\r\n" for each
	pieces []piece
}

// piece is where a name and its value end in the buffer. The value begins behind
// the separator, the name where the line before it ended.
type piece struct{ name, value int }

const (
	separator = ": "
	lineEnd   = "\r\n"
)

// Reset empties h and keeps its storage.
func (h *Headers) Reset() { h.buf, h.pieces = h.buf[:0], h.pieces[:0] }

// Len is the number of headers.
func (h *Headers) Len() int { return len(h.pieces) }

// At returns header i, counted from 0. The slices are valid until the next
// change of h.
func (h *Headers) At(i int) (name, value []byte) {
	start := 0
	if i > 0 {
		start = h.pieces[i-1].value + len(lineEnd)
	}
	s := h.pieces[i]
	return h.buf[start:s.name:s.name], h.buf[s.name+len(separator) : s.value : s.value]
}

// Wire returns all headers as NATS has them between its version line and the
// empty line: "name: value\r\n" for each. The slice is valid until the next
// change of h.
func (h *Headers) Wire() []byte { return slices.Clip(h.buf) }

// Add appends a header whose name is one of the contract's own, not a
// device's. The value is escaped.
func (h *Headers) Add(name, value string) { add(h, name, value) }

// AddTrace appends the headers of a trace context as every reader of traces
// expects them: they are not escaped. What would break a line is left out, for a
// context may be what a device says. None adds nothing, and nothing is added to so
// many headers that JetStream might refuse one more.
func (h *Headers) AddTrace(c span.Context) {
	if c.IsZero() || !isLine(c.Parent) || len(h.buf) > maxTraced {
		return
	}
	h.addPlain(span.HeaderParent, c.Parent)
	if c.State != "" && isLine(c.State) {
		h.addPlain(span.HeaderState, c.State)
	}
}

// appendAll appends all headers of o.
func (h *Headers) appendAll(o *Headers) {
	at := len(h.buf)
	h.buf = append(h.buf, o.buf...)
	for _, p := range o.pieces {
		h.pieces = append(h.pieces, piece{at + p.name, at + p.value})
	}
}

func (h *Headers) addPlain(name, value string) {
	end := h.begin(name)
	h.buf = append(h.buf, value...)
	h.end(end)
}

func add[T string | []byte](h *Headers, name string, value T) {
	end := h.begin(name)
	h.buf = appendValue(h.buf, value)
	h.end(end)
}

// begin appends a name and the separator, and returns where the name ends.
func (h *Headers) begin(name string) (end int) {
	h.buf = append(h.buf, name...)
	return h.separate()
}

// separate ends the name that was appended last, and returns where that is.
func (h *Headers) separate() (end int) {
	end = len(h.buf)
	h.buf = append(h.buf, separator...)
	return end
}

// end ends the line whose name ended there.
func (h *Headers) end(name int) {
	h.pieces = append(h.pieces, piece{name, len(h.buf)})
	h.buf = append(h.buf, lineEnd...)
}

// Headers appends the headers of m to h: annotations, system properties, and
// application properties. It allocates nothing once h is large enough.
func (m *Message) Headers(h *Headers) {
	m.vouched(h)
	h.addTime(HeaderEnqueued, m.Enqueued)
	for p, value := range &m.System {
		if value != nil {
			add(h, table[p].header, value)
		}
	}
	for i := range m.Properties {
		h.addProperty(&m.Properties[i])
	}
}

func (h *Headers) addOptional(name, value string) {
	if value != "" {
		add(h, name, value)
	}
}

func (h *Headers) addTime(name string, t time.Time) {
	end := h.begin(name)
	h.buf = appendTime(h.buf, t)
	h.end(end)
}

func (h *Headers) addProperty(p *Property) {
	h.buf = append(h.buf, AppPrefix...)
	h.buf = appendName(h.buf, p.Name)
	end := h.separate()
	if p.Null {
		h.buf = append(h.buf, nullValue...)
	} else {
		h.buf = appendValue(h.buf, p.Value)
	}
	h.end(end)
}

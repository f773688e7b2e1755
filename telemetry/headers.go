package telemetry

import (
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
// they can be written as "name: value" lines. The zero value is empty and
// ready; a Headers is used by one goroutine at a time.
type Headers struct {
	buf    []byte
	pieces []piece
}

// piece is where a name and its value end in the buffer; the name begins where
// the value before it ended.
type piece struct{ name, value int }

// Reset empties h and keeps its storage.
func (h *Headers) Reset() { h.buf, h.pieces = h.buf[:0], h.pieces[:0] }

// Len is the number of headers.
func (h *Headers) Len() int { return len(h.pieces) }

// At returns header i, counted from 0. The slices are valid until the next
// change of h.
func (h *Headers) At(i int) (name, value []byte) {
	start := 0
	if i > 0 {
		start = h.pieces[i-1].value
	}
	s := h.pieces[i]
	return h.buf[start:s.name:s.name], h.buf[s.name:s.value:s.value]
}

// Add appends a header whose name is one of the contract's own, not a
// device's. The value is escaped.
func (h *Headers) Add(name, value string) { add(h, name, value) }

// AddTrace appends the headers of a trace context, one that is well-formed, as
// every reader of traces expects them: they are not escaped. None adds nothing,
// and nothing is added to so many headers that JetStream might refuse one more.
func (h *Headers) AddTrace(c span.Context) {
	if c.IsZero() || len(h.buf) > maxTraced {
		return
	}
	h.addPlain(span.HeaderParent, c.Parent)
	if c.State != "" {
		h.addPlain(span.HeaderState, c.State)
	}
}

func (h *Headers) addPlain(name, value string) {
	h.buf = append(h.buf, name...)
	end := len(h.buf)
	h.buf = append(h.buf, value...)
	h.pieces = append(h.pieces, piece{end, len(h.buf)})
}

func add[T string | []byte](h *Headers, name string, value T) {
	h.buf = append(h.buf, name...)
	end := len(h.buf)
	h.buf = appendValue(h.buf, value)
	h.pieces = append(h.pieces, piece{end, len(h.buf)})
}

// Headers appends the headers of m to h: annotations, system properties, and
// application properties. It allocates nothing once h is large enough.
func (m *Message) Headers(h *Headers) {
	add(h, HeaderDeviceID, m.From.Device)
	h.addOptional(HeaderModuleID, m.From.Module)
	h.addOptional(HeaderAuthMethod, m.AuthMethod)
	h.addOptional(HeaderGeneration, m.Generation)
	h.addOptional(HeaderSource, m.Source)
	h.addOptional(HeaderModelID, m.ModelID)
	h.addTime(HeaderEnqueued, m.Enqueued)
	for p, value := range m.System {
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
	h.buf = append(h.buf, name...)
	end := len(h.buf)
	h.buf = appendTime(h.buf, t)
	h.pieces = append(h.pieces, piece{end, len(h.buf)})
}

func (h *Headers) addProperty(p *Property) {
	h.buf = append(h.buf, AppPrefix...)
	h.buf = appendName(h.buf, p.Name)
	end := len(h.buf)
	if p.Null {
		h.buf = append(h.buf, nullValue...)
	} else {
		h.buf = appendValue(h.buf, p.Value)
	}
	h.pieces = append(h.pieces, piece{end, len(h.buf)})
}

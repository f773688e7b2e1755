package telemetry

import (
	"unicode"
	"unicode/utf8"
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

// AppPrefix begins the header name of every application property, so that
// none of them can stand for anything else.
const AppPrefix = "iothub-app-"

// nullValue is the header value of a property without value. No encoded text
// is the same: there, two hexadecimal digits follow each %.
const nullValue = "%null"

// timeLayout is how headers tell the time: UTC, milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Headers is a list of header names and values in one buffer. The zero value
// is ready; [Headers.Reset] makes it so again and keeps the storage.
type Headers struct {
	buf   []byte
	spans []span
}

// span is where a name and its value end in the buffer; the name begins where
// the value before it ended.
type span struct{ name, value int }

// Reset empties h.
func (h *Headers) Reset() { h.buf, h.spans = h.buf[:0], h.spans[:0] }

// Len is the number of headers.
func (h *Headers) Len() int { return len(h.spans) }

// At returns header i. The slices are valid until the next change of h.
func (h *Headers) At(i int) (name, value []byte) {
	start := 0
	if i > 0 {
		start = h.spans[i-1].value
	}
	s := h.spans[i]
	return h.buf[start:s.name], h.buf[s.name:s.value]
}

// Add appends a header whose name is one of the contract's own; value is
// escaped.
func (h *Headers) Add(name, value string) {
	h.buf = append(h.buf, name...)
	end := len(h.buf)
	h.buf = appendValue(h.buf, value)
	h.spans = append(h.spans, span{end, len(h.buf)})
}

func (h *Headers) addOptional(name, value string) {
	if value != "" {
		h.Add(name, value)
	}
}

// Headers appends the headers of m to h: annotations, system properties, and
// application properties.
func (m *Message) Headers(h *Headers) {
	h.Add(HeaderDeviceID, m.From.Device)
	h.addOptional(HeaderModuleID, m.From.Module)
	h.addOptional(HeaderAuthMethod, m.AuthMethod)
	h.addOptional(HeaderGeneration, m.Generation)
	h.addOptional(HeaderSource, m.Source)
	h.addOptional(HeaderModelID, m.ModelID)
	h.buf = append(h.buf, HeaderEnqueued...)
	end := len(h.buf)
	h.buf = m.Enqueued.UTC().AppendFormat(h.buf, timeLayout)
	h.spans = append(h.spans, span{end, len(h.buf)})
	for p, value := range m.System {
		if value != nil {
			h.addBytes(SystemProperty(p).Header(), value)
		}
	}
	for i := range m.Properties {
		h.addProperty(&m.Properties[i])
	}
}

func (h *Headers) addBytes(name string, value []byte) {
	h.buf = append(h.buf, name...)
	end := len(h.buf)
	h.buf = appendValue(h.buf, value)
	h.spans = append(h.spans, span{end, len(h.buf)})
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
	h.spans = append(h.spans, span{end, len(h.buf)})
}

// appendName escapes what a header name may not hold.
func appendName(dst, name []byte) []byte {
	for _, c := range name {
		if isNameByte(c) {
			dst = append(dst, c)
		} else {
			dst = appendEscape(dst, c)
		}
	}
	return dst
}

func isNameByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		return true
	}
	return false
}

// appendValue escapes control characters, %, and white space at either end,
// which readers of headers trim. Anything else stands for itself, UTF-8
// included.
func appendValue[T string | []byte](dst []byte, value T) []byte {
	text := string(value[:min(len(value), utf8.UTFMax)])
	r, head := utf8.DecodeRuneInString(text)
	if !isTrimmed(r) {
		head = 0
	}
	text = string(value[max(0, len(value)-utf8.UTFMax):])
	r, tail := utf8.DecodeLastRuneInString(text)
	if !isTrimmed(r) {
		tail = 0
	}
	for i := range len(value) {
		c := value[i]
		if c < ' ' || c == 0x7F || c == '%' || i < head || i >= len(value)-tail {
			dst = appendEscape(dst, c)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// isTrimmed reports whether some language's standard trim removes r.
func isTrimmed(r rune) bool {
	const byteOrderMark = '\uFEFF' // white space to JavaScript
	return unicode.IsSpace(r) || r == byteOrderMark
}

func appendEscape(dst []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}

package c2d

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
)

// The header names of a message in NATS: those that telemetry has for the same
// properties, and iothub-ack.
const (
	HeaderMessageID       = "message-id"
	HeaderCorrelationID   = "correlation-id"
	HeaderUserID          = "user-id"
	HeaderExpiry          = "absolute-expiry-time" // RFC 3339
	HeaderContentType     = "content-type"
	HeaderContentEncoding = "content-encoding"
	HeaderCreated         = "iothub-creation-time-utc" // RFC 3339
	HeaderAck             = "iothub-ack"
	AppPrefix             = "iothub-app-" // and the property's name
)

// nullValue is the value of a property that has none, as telemetry writes it.
const nullValue = "%null"

// Headers are the message without its body: what is set of it. Values and the
// names of properties are escaped as those of telemetry are.
func (m *Message) Headers() map[string][]string {
	h := map[string][]string{}
	add := func(name, value string) {
		if value != "" {
			h[name] = []string{escapeValue(value)}
		}
	}
	add(HeaderMessageID, m.MessageID)
	add(HeaderCorrelationID, m.CorrelationID)
	add(HeaderUserID, m.UserID)
	add(HeaderContentType, m.ContentType)
	add(HeaderContentEncoding, m.ContentEncoding)
	add(HeaderExpiry, timeText(m.Expires))
	add(HeaderCreated, timeText(m.Created))
	add(HeaderAck, string(m.Ack))
	for name, value := range m.Properties {
		h[AppPrefix+escapeName(name)] = []string{escapeValue(value)}
	}
	return h
}

// ParseHeaders reads a message that anybody may have published. Headers that
// the contract does not have are left out, and text that nobody escaped is
// taken as it is. What can't be read is the message's Fault.
func ParseHeaders(headers map[string][]string) Message {
	get := func(name string) string {
		if v := headers[name]; len(v) > 0 {
			return unescape(v[0])
		}
		return ""
	}
	m := Message{
		MessageID: get(HeaderMessageID), CorrelationID: get(HeaderCorrelationID), UserID: get(HeaderUserID),
		ContentType: get(HeaderContentType), ContentEncoding: get(HeaderContentEncoding), Ack: Ack(get(HeaderAck)),
	}
	m.Expires = m.time(HeaderExpiry, get(HeaderExpiry))
	m.Created = m.time(HeaderCreated, get(HeaderCreated))
	for name, values := range headers {
		app, ok := strings.CutPrefix(name, AppPrefix)
		if !ok || len(values) == 0 {
			continue
		}
		if m.Properties == nil {
			m.Properties = map[string]string{}
		}
		value := values[0]
		if value == nullValue {
			value = ""
		}
		m.Properties[unescape(app)] = unescape(value)
	}
	return m
}

// time reads a time, or notes the fault.
func (m *Message) time(name, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if year := t.UTC().Year(); err != nil || year < 1 || year > 9999 {
		m.Fault = hub.Errorf(hub.ArgumentInvalid, "%s is %.40q: it must be a time such as 2026-11-21T08:00:00Z", name, text)
		return time.Time{}
	}
	return t.UTC()
}

func escapeName(name string) string {
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		if isNameByte(name[i]) {
			b = append(b, name[i])
			continue
		}
		b = appendEscape(b, name[i])
	}
	return string(b)
}

// escapeValue escapes control characters, % and white space at either end.
func escapeValue(s string) string {
	head := len(s) - len(strings.TrimLeftFunc(s, isTrimmed))
	tail := len(strings.TrimRightFunc(s, isTrimmed))
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		if i >= head && i < tail && c >= ' ' && c != '%' && c != 0x7F {
			b = append(b, c)
			continue
		}
		b = appendEscape(b, c)
	}
	return string(b)
}

func isTrimmed(r rune) bool {
	const byteOrderMark = '\uFEFF'
	return unicode.IsSpace(r) || r == byteOrderMark || r == utf8.RuneError
}

// unescape decodes %XX; any other % stands for itself.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := digit(s[i+1]), digit(s[i+2])
			if hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	default:
		return -1
	}
}

package c2d

import (
	"maps"
	"slices"
	"time"
)

// timeLayout is .NET's round-trip form: C# reads a date with nothing but seven
// digits behind the second.
const timeLayout = "2006-01-02T15:04:05.0000000Z"

// field is a property as it stands in the topic, before it is encoded.
type field struct{ name, value string }

// texts are the system properties whose value is the sender's own text, by
// their names in the topic; of one that is not set it is empty.
func (m *Message) texts() [5]field {
	return [...]field{
		{"mid", m.MessageID}, {"cid", m.CorrelationID}, {"uid", m.UserID}, {"ct", m.ContentType}, {"ce", m.ContentEncoding},
	}
}

// topicBound is a number of bytes that [Message.Topic] never exceeds, for a
// device with a valid id.
func (m *Message) topicBound() int {
	const (
		fixed   = 512 // all that is not the sender's or the device's
		escaped = 3   // bytes of a byte
		device  = 2   // times its id is there, once not escaped
	)
	properties := m.Size() - len(m.Body)
	return fixed + escaped*(properties+device*len(m.Device)) + 2*len(m.Properties)
}

// system lists the system properties that are set.
func (m *Message) system() []field {
	fields := []field{
		{"mid", m.MessageID},
		{"cid", m.CorrelationID},
		{"uid", m.UserID},
		{"to", "/devices/" + m.Device + "/messages/deviceBound"},
		{"exp", timeText(m.Expires)},
		{"ct", m.ContentType},
		{"ce", m.ContentEncoding},
		{"ctime", timeText(m.Created)},
	}
	return slices.DeleteFunc(fields, func(f field) bool { return f.value == "" })
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

// Topic is the topic that the message is delivered on,
//
//	devices/{device}/messages/devicebound/%24.mid=…&%24.to=…&iothub-ack=…&…
//
// Every SDK reads it in its own way: C and Java look for the bytes %24., Java
// wants the system properties first and a value behind every name, C# a topic
// with a bag and an iothub-ack, and only Java takes + for a space.
func (m *Message) Topic() string {
	b := make([]byte, 0, 256)
	b = append(b, "devices/"...)
	b = append(b, m.Device...)
	b = append(b, "/messages/devicebound/"...)
	for _, f := range m.system() {
		b = append(b, "%24."...)
		b = append(b, f.name...)
		b = append(b, '=')
		b = append(appendEncoded(b, f.value), '&')
	}
	b = append(b, "iothub-ack="...)
	b = append(b, m.Ack.word()...)
	for _, name := range slices.Sorted(maps.Keys(m.Properties)) {
		if m.Properties[name] == "" {
			continue
		}
		b = appendEncoded(append(b, '&'), name)
		b = appendEncoded(append(b, '='), m.Properties[name])
	}
	return string(b)
}

// appendEncoded percent-encodes everything but A-Z a-z 0-9 - _ . ~
func appendEncoded(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if isUnreserved(c) {
			b = append(b, c)
			continue
		}
		b = appendEscape(b, c)
	}
	return b
}

func isUnreserved(c byte) bool { return isNameByte(c) || c == '~' }

func isNameByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		return true
	default:
		return false
	}
}

func appendEscape(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}

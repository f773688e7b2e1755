package telemetry

import (
	"bytes"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
)

// ParseBag decodes the property bag of a topic into m: name=value pairs
// between &, percent-encoded. What the SDKs send decides the rules (see
// docs/protocol.md): one slash at the end is not part of the bag (C#, Java,
// Node), a bad escape stands for itself and + for + (C), a name without = has
// no value, a later pair replaces an earlier one. Names that begin with "$."
// and are no system property are application properties; a system property
// without value is as good as none.
//
// It fails with ArgumentInvalid, naming the pair, when a name is empty or what
// was decoded is not UTF-8. It allocates nothing once m has been used.
func (m *Message) ParseBag(bag []byte) error {
	bag = bytes.TrimSuffix(bag, []byte("/"))
	bag = bytes.TrimPrefix(bag, []byte("?"))
	if cap(m.scratch) < len(bag) { // decoding never makes text longer
		m.scratch = make([]byte, 0, len(bag))
	}
	m.scratch = m.scratch[:0]
	for n := 1; len(bag) > 0; n++ {
		pair, rest, _ := bytes.Cut(bag, []byte("&"))
		bag = rest
		if len(pair) == 0 {
			continue
		}
		if err := m.addPair(pair, n); err != nil {
			return err
		}
	}
	return nil
}

// addPair decodes the nth pair.
func (m *Message) addPair(pair []byte, n int) error {
	name, value, hasValue := bytes.Cut(pair, []byte("="))
	name, value = m.decode(name), m.decode(value)
	switch {
	case len(name) == 0:
		return hub.Errorf(hub.ArgumentInvalid, "property %d of the bag has no name", n)
	case !utf8.Valid(name):
		return hub.Errorf(hub.ArgumentInvalid, "the name of property %d of the bag is not UTF-8 when decoded", n)
	case !utf8.Valid(value):
		return hub.Errorf(hub.ArgumentInvalid, "the value of property %d of the bag is not UTF-8 when decoded", n)
	}
	if wire, ok := bytes.CutPrefix(name, []byte("$.")); ok {
		if p, ok := systemProperty(wire); ok {
			m.System[p] = value
			return nil
		}
	}
	m.set(Property{Name: name, Value: value, Null: !hasValue})
	return nil
}

// decode resolves percent escapes. Text without any is returned as it is;
// other text goes to m.scratch, which has room for it.
func (m *Message) decode(b []byte) []byte {
	i := bytes.IndexByte(b, '%')
	if i < 0 {
		return b
	}
	start := len(m.scratch)
	for ; i >= 0; i = bytes.IndexByte(b, '%') {
		m.scratch = append(m.scratch, b[:i]...)
		if c, ok := escape(b[i:]); ok {
			m.scratch = append(m.scratch, c)
			b = b[i+3:]
			continue
		}
		m.scratch = append(m.scratch, '%')
		b = b[i+1:]
	}
	m.scratch = append(m.scratch, b...)
	return m.scratch[start:len(m.scratch):len(m.scratch)]
}

// escape reads the percent escape at the beginning of b.
func escape(b []byte) (byte, bool) {
	if len(b) < 3 {
		return 0, false
	}
	hi, ok1 := hexDigit(b[1])
	lo, ok2 := hexDigit(b[2])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

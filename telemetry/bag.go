package telemetry

import (
	"bytes"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
)

// ParseBag decodes the property bag of a topic into m, in place of what an
// earlier bag left there: name=value pairs between &, percent-encoded. What the
// SDKs send decides the rules:
//
//   - One slash at the end is not part of the bag (C#, Java modules, Node
//     outputs), nor is a question mark at the beginning.
//   - A + is a +, and a % that begins no escape is a % (C encodes nothing).
//   - A name without = has no value, which is not the empty one. A system
//     property without value is as good as none.
//   - Of several pairs with one name, the last counts; names are compared when
//     decoded. Empty pairs are passed over.
//   - Names of system properties are case-sensitive. A name that begins with
//     "$." and is none is an application property, so that nothing is lost.
//
// It fails with ArgumentInvalid, naming the place of the pair, when a name is
// empty, or a decoded name or value is not UTF-8; m is then of no use. It
// allocates nothing once m has been used for a bag as large. Properties and
// System are views of bag where nothing had to be decoded.
func (m *Message) ParseBag(bag []byte) error {
	m.resetBag()
	bag = bytes.TrimSuffix(bag, []byte("/"))
	bag = bytes.TrimPrefix(bag, []byte("?"))
	if cap(m.scratch) < len(bag) { // decoding makes nothing longer
		m.scratch = make([]byte, 0, len(bag))
	}
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
	if p, ok := systemProperty(name); ok {
		m.System[p] = value // nil without =
		return nil
	}
	m.set(Property{Name: name, Value: value, Null: !hasValue})
	return nil
}

// decode resolves percent escapes. Text without any is returned as it is,
// other text as a view of m.scratch, which has room for it.
func (m *Message) decode(b []byte) []byte {
	if bytes.IndexByte(b, '%') < 0 {
		return b
	}
	start := len(m.scratch)
	m.scratch = appendDecoded(m.scratch, b)
	return m.scratch[start:len(m.scratch):len(m.scratch)]
}

// appendDecoded appends b with its percent escapes resolved; a % that begins
// none stays.
func appendDecoded(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '%')
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i]...)
		b = b[i:]
		c, size := byte('%'), 1
		if len(b) >= 3 {
			hi, lo := hexValue(b[1]), hexValue(b[2])
			if hi|lo < 16 {
				c, size = hi<<4|lo, 3
			}
		}
		dst = append(dst, c)
		b = b[size:]
	}
}

// hexValue is the value of a hexadecimal digit, 255 for any other character.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	default:
		return 255
	}
}

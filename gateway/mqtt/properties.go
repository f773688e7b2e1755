package mqtt

import (
	"bytes"
	"encoding/binary"
	"iter"
)

// Properties are the MQTT 5 properties of a packet. The zero value has none and
// is ready for use. They are kept in their encoded form, so decoding copies
// nothing and their order stays. What Decode returns points into the decoded
// bytes, as everything in a packet does; [Properties.Clone] keeps it for
// longer. Changing decoded Properties copies first and never writes to the
// decoded bytes. A copy by assignment shares memory as a slice's does.
// Properties are not for use by several goroutines while one of them changes
// them.
type Properties struct {
	raw  []byte
	set  propertySet // those that are there
	view bool        // raw belongs to somebody else
	fail bool        // one could not be set:
	bad  Property    // this one
}

// Has reports whether property id is there.
func (p *Properties) Has(id Property) bool { return p.set.has(id) }

// Number is the value of a property that is a number, and whether it is there.
// Of several subscription identifiers it is the first.
func (p *Properties) Number(id Property) (x uint32, ok bool) {
	value, ok := p.find(id)
	if !ok {
		return 0, false
	}
	return number(id.kind(), value)
}

// Bytes is the value of a property that is text or bytes, and whether it is
// there. It is a view, valid as long as p is unchanged.
func (p *Properties) Bytes(id Property) (x []byte, ok bool) {
	value, ok := p.find(id)
	if k := id.kind(); !ok || k != kindText && k != kindData {
		return nil, false
	}
	return value[2:], true
}

// User yields the user properties, name and value, in their order. A name may
// come more than once. What it yields are views, valid as long as p is
// unchanged.
func (p *Properties) User() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for raw := p.raw; len(raw) > 0; {
			id, value, rest := split(raw)
			if id == PropertyUser {
				n := 2 + int(binary.BigEndian.Uint16(value))
				if !yield(value[2:n:n], value[n+2:]) {
					return
				}
			}
			raw = rest
		}
	}
}

// SubscriptionIDs yields the subscription identifiers in their order.
func (p *Properties) SubscriptionIDs() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for raw := p.raw; len(raw) > 0; {
			id, value, rest := split(raw)
			if id == PropertySubscriptionID {
				if x, _ := varint(value); !yield(x) {
					return
				}
			}
			raw = rest
		}
	}
}

// Equal reports whether p and q hold the same properties in the same order.
func (p Properties) Equal(q Properties) bool { return bytes.Equal(p.raw, q.raw) }

// Clone is a copy that shares no memory with p.
func (p *Properties) Clone() Properties {
	return Properties{raw: bytes.Clone(p.raw), set: p.set, fail: p.fail, bad: p.bad}
}

// none reports whether there is nothing to write, not even an error.
func (p *Properties) none() bool { return len(p.raw) == 0 && !p.fail }

// count is the number of values of property id.
func (p *Properties) count(id Property) int {
	n := 0
	if p.set.has(id) {
		for raw := p.raw; len(raw) > 0; {
			var found Property
			if found, _, raw = split(raw); found == id {
				n++
			}
		}
	}
	return n
}

// find returns the first value of property id as it is encoded.
func (p *Properties) find(id Property) (value []byte, ok bool) {
	if !p.set.has(id) {
		return nil, false
	}
	var found Property
	for raw := p.raw; found != id; {
		found, value, raw = split(raw)
	}
	return value, true
}

// append writes the property length and the properties. Their length is at
// most maxRemaining.
func (p *Properties) append(b []byte) []byte {
	b = appendVarint(b, uint32(len(p.raw)))
	return append(b, p.raw...)
}

// check says what hinders writing p in a packet that may have the properties of
// allowed.
func (p *Properties) check(allowed propertySet) *Error {
	switch extra := p.set &^ allowed; {
	case p.fail:
		return p.bad.outOfRange()
	case extra != 0:
		return extra.first().misplaced()
	}
	return nil
}

package mqtt

import (
	"encoding/binary"
	"slices"
)

// writer appends one packet to a buffer. The first error stays; after it, what
// is written does not matter, since close takes it back.
type writer struct {
	b     []byte
	start int // of the packet in b
	v     Version
	err   *Error
}

// open begins a packet of version v with its first byte, and leaves one byte
// for the remaining length. If err is not nil, the packet can't be written.
func open(b []byte, v Version, first byte, err *Error) writer {
	if err == nil && !v.known() {
		err = unknownVersion(v)
	}
	return writer{b: append(b, first, 0), start: len(b), v: v, err: err}
}

// unknownVersion is the error for writing a version that there is not.
func unknownVersion(v Version) *Error {
	return broken(V5, ReasonUnsupportedVersion, "", v.String()+" is not supported")
}

// close fills in the remaining length and returns the buffer, or takes back
// everything.
func (w *writer) close() ([]byte, error) {
	n := len(w.b) - w.start - 2
	if n > maxRemaining {
		w.failed(tooLarge(w.v))
	}
	if w.err != nil {
		return w.b[:w.start], w.err
	}
	if size := varintSize(uint32(n)); size > 1 {
		var room [3]byte
		w.b = slices.Insert(w.b, w.start+2, room[:size-1]...)
	}
	appendVarint(w.b[:w.start+1], uint32(n))
	return w.b, nil
}

// tooLarge is the error for a packet that four length bytes can't frame.
func tooLarge(v Version) *Error {
	return broken(v, ReasonPacketTooLarge, "MQTT3-2.2.3 MQTT5-1.5.5", "packet is larger than 268435460 bytes")
}

// failed keeps the first error.
func (w *writer) failed(err *Error) {
	if w.err == nil {
		w.err = err
	}
}

// byte writes one byte.
func (w *writer) byte(x byte) { w.b = append(w.b, x) }

// uint16 writes two bytes.
func (w *writer) uint16(x uint16) { w.b = binary.BigEndian.AppendUint16(w.b, x) }

// id writes a packet identifier, which is never 0.
func (w *writer) id(f field, x uint16) {
	if x == 0 {
		w.failed(zeroID(f, w.v))
	}
	w.uint16(x)
}

// rest writes bytes without a length, unless the packet is refused already:
// they may be too many for any.
func (w *writer) rest(x []byte) {
	if w.err == nil {
		w.b = append(w.b, x...)
	}
}

// data writes binary data behind its length.
func (w *writer) data(f field, x []byte) { w.checked(f, x, tooLong(x)) }

// text writes a UTF-8 string.
func (w *writer) text(f field, x []byte) { w.checked(f, x, textFault(x)) }

// checked writes a field in which fault was found.
func (w *writer) checked(f field, x []byte, y fault) {
	if y != faultNone {
		w.failed(y.in(f, w.v))
		return
	}
	w.uint16(uint16(len(x)))
	w.b = append(w.b, x...)
}

// lenient forgives the wildcards that a topic should not have, or not there.
func lenient(x fault) fault {
	switch x {
	case faultWildcard, faultHash, faultPlus:
		return faultNone
	default:
		return x
	}
}

// properties writes the property length and the properties, of which the
// packet may have those of allowed. Before MQTT 5 it writes nothing.
func (w *writer) properties(p *Properties, allowed propertySet) {
	if w.v != V5 {
		return
	}
	if err := p.check(allowed); err != nil {
		w.failed(err)
	}
	if len(p.raw) > maxRemaining {
		w.failed(tooLarge(w.v))
		return
	}
	w.b = p.append(w.b)
}

package mqtt

import "encoding/binary"

// cursor reads the fields of one packet, front to back. The first error stays,
// and what is read after it is zero, so that a packet is read in one go and
// the error looked at once.
type cursor struct {
	b   []byte // not read yet
	v   Version
	err *Error
}

// fail keeps the first error.
func (c *cursor) fail(r Reason, rules, text string) {
	c.failed(broken(c.v, r, rules, text))
}

// refuse keeps the first error, which is a fault of field f.
func (c *cursor) refuse(f field, x fault) { c.failed(x.in(f, c.v)) }

// failed keeps err, if it is the first.
func (c *cursor) failed(err *Error) {
	if c.err == nil {
		c.err = err
	}
	c.b = nil
}

// verdict keeps err, if it is one and the first.
func (c *cursor) verdict(err *Error) {
	if err != nil {
		c.failed(err)
	}
}

// byte reads one byte.
func (c *cursor) byte(f field) byte {
	if len(c.b) < 1 {
		c.refuse(f, faultCut)
		return 0
	}
	x := c.b[0]
	c.b = c.b[1:]
	return x
}

// uint16 reads two bytes.
func (c *cursor) uint16(f field) uint16 {
	if len(c.b) < 2 {
		c.refuse(f, faultCut)
		return 0
	}
	x := binary.BigEndian.Uint16(c.b)
	c.b = c.b[2:]
	return x
}

// uint32 reads four bytes.
func (c *cursor) uint32(f field) uint32 {
	if len(c.b) < 4 {
		c.refuse(f, faultCut)
		return 0
	}
	x := binary.BigEndian.Uint32(c.b)
	c.b = c.b[4:]
	return x
}

// id reads a packet identifier, which is never 0.
func (c *cursor) id(f field) uint16 {
	x := c.uint16(f)
	if x == 0 && c.err == nil {
		c.failed(zeroID(f, c.v))
	}
	return x
}

// zeroID is the error for a packet identifier of 0.
func zeroID(f field, v Version) *Error {
	return broken(v, ReasonProtocolError, f.about().present, "packet identifier is 0")
}

// varint reads a variable byte integer of MQTT 5, in its shortest form
// [MQTT5-1.5.5-1].
func (c *cursor) varint(f field) uint32 {
	x, n := varint(c.b)
	switch {
	case n == 0:
		c.refuse(f, faultCut)
		return 0
	case n < 0:
		c.fail(ReasonMalformedPacket, "MQTT5-1.5.5-1", f.about().name+" is not a variable byte integer in its shortest form")
		return 0
	}
	c.b = c.b[n:]
	return x
}

// data reads binary data: bytes behind a two-byte length. The result has no
// spare capacity, so that nobody appends into the connection's buffer.
func (c *cursor) data(f field) []byte {
	if len(c.b) < 2 {
		c.refuse(f, faultCut)
		return nil
	}
	n := 2 + int(binary.BigEndian.Uint16(c.b))
	if len(c.b) < n {
		c.refuse(f, faultCut)
		return nil
	}
	x := c.b[2:n:n]
	c.b = c.b[n:]
	return x
}

// text reads a UTF-8 string.
func (c *cursor) text(f field) []byte {
	x := c.data(f)
	if y := textFault(x); y != faultNone {
		c.refuse(f, y)
	}
	return x
}

// end refuses what follows the last field.
func (c *cursor) end(rules string) {
	if len(c.b) > 0 {
		c.fail(ReasonMalformedPacket, rules, "bytes follow the last field of the packet")
	}
}

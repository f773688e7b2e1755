package mqtt

import (
	"encoding/binary"
	"math/bits"
)

// properties reads the property length and the properties, of which the packet
// may have those of allowed. Before MQTT 5 there is nothing to read.
func (c *cursor) properties(p *Properties, allowed propertySet) {
	if c.v != V5 {
		return
	}
	n := c.varint(fieldPropertyLength)
	if int(n) > len(c.b) {
		c.refuse(fieldPropertyLength, faultCut)
		return
	}
	raw := c.b[:n:n]
	rest := c.b[n:]
	c.b = raw
	for len(c.b) > 0 {
		c.property(&p.set, allowed)
	}
	if c.err != nil {
		return
	}
	p.raw, p.view = raw, true
	c.b = rest
}

// property reads one property and adds it to those that are there.
func (c *cursor) property(set *propertySet, allowed propertySet) {
	id := Property(c.b[0])
	k := id.kind()
	switch {
	case k == kindNone:
		c.failed(id.unknown())
	case !allowed.has(id):
		c.failed(id.misplaced())
	case set.has(id) && !repeatable.has(id):
		c.failed(id.twice())
	default:
		*set |= 1 << id
		c.b = c.b[1:]
		c.propertyValue(id, k)
	}
}

// propertyValue reads the value of property id, which is of kind k.
func (c *cursor) propertyValue(id Property, k kind) {
	f := fieldProperty | field(id)
	switch k {
	case kindPair:
		c.text(f)
		c.text(f)
	case kindText:
		c.propertyText(id, f)
	case kindData:
		c.data(f)
	default:
		c.propertyNumber(id, k, f)
	}
}

// propertyText reads a text. The response topic is a topic name besides, and a
// strict one always.
func (c *cursor) propertyText(id Property, f field) {
	if id != PropertyResponseTopic {
		c.text(f)
		return
	}
	x := c.data(f)
	if y := topicFault(x); c.err == nil && y != faultNone {
		c.refuse(f, y)
	}
}

// propertyNumber reads a number.
func (c *cursor) propertyNumber(id Property, k kind, f field) {
	var x uint32
	switch k {
	case kindFlag:
		x = uint32(c.byte(f))
	case kindUint16:
		x = uint32(c.uint16(f))
	case kindUint32:
		x = c.uint32(f)
	default: // kindVarint
		x = c.varint(f)
	}
	if c.err == nil && !id.admits(k, x) {
		c.failed(id.outOfRange())
	}
}

// split takes the first property off raw, which is well-formed. value is as it
// is encoded.
func split(raw []byte) (id Property, value, rest []byte) {
	id, raw = Property(raw[0]), raw[1:]
	n := 0
	switch id.kind() {
	case kindFlag:
		n = 1
	case kindUint16:
		n = 2
	case kindUint32:
		n = 4
	case kindVarint:
		_, n = varint(raw)
	case kindPair:
		n = 2 + int(binary.BigEndian.Uint16(raw))
		n += 2 + int(binary.BigEndian.Uint16(raw[n:]))
	default: // kindText, kindData
		n = 2 + int(binary.BigEndian.Uint16(raw))
	}
	return id, raw[:n:n], raw[n:]
}

// number is the value of a property of kind k that is a number.
func number(k kind, value []byte) (x uint32, ok bool) {
	switch k {
	case kindFlag:
		return uint32(value[0]), true
	case kindUint16:
		return uint32(binary.BigEndian.Uint16(value)), true
	case kindUint32:
		return binary.BigEndian.Uint32(value), true
	case kindVarint:
		x, _ = varint(value)
		return x, true
	default:
		return 0, false
	}
}

// first is the lowest property of s, which is not empty.
func (s propertySet) first() Property { return Property(bits.TrailingZeros64(uint64(s))) }

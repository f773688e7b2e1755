package mqtt

import (
	"encoding/binary"
	"slices"
)

// Filter is one topic filter of a SUBSCRIBE with its options (MQTT 5.0 section
// 3.8.3.1).
type Filter struct {
	Topic             []byte
	QoS               byte
	RetainHandling    byte // MQTT 5: 0 send, 1 send if new, 2 do not send
	NoLocal           bool // MQTT 5
	RetainAsPublished bool // MQTT 5
}

// Subscribe is a SUBSCRIBE packet (MQTT 5.0 section 3.8). It has at least one
// filter.
type Subscribe struct {
	ID         uint16
	Filters    []Filter
	Properties Properties
}

// The subscription options (MQTT 5.0 section 3.8.3.1).
const (
	optionQoS               = 0x03
	optionNoLocal           = 0x04
	optionRetainAsPublished = 0x08
	retainHandlingShift     = 4
	optionReserved          = 0xC0
)

// Type implements [Packet].
func (*Subscribe) Type() Type { return TypeSubscribe }

// Append implements [Packet]. It takes filters with '+' and '#' anywhere, as
// [Decoder.LenientFilters] does.
func (p *Subscribe) Append(b []byte, v Version) ([]byte, error) {
	w := open(b, v, byte(TypeSubscribe)<<4|fixedFlags(TypeSubscribe), p.check(v))
	w.id(fieldPacketID, p.ID)
	w.properties(&p.Properties, subscribeProperties)
	for i := range p.Filters {
		f := &p.Filters[i]
		w.filter(fieldFilter, f.Topic)
		w.byte(f.options(v))
		if err := f.check(v); err != nil {
			w.failed(err)
		}
	}
	return w.close()
}

// filter writes a topic filter.
func (w *writer) filter(f field, x []byte) {
	w.checked(f, x, lenient(subscriptionFault(x, w.v)))
}

// options are the subscription options of f.
func (f *Filter) options(v Version) byte {
	options := f.QoS
	if v != V5 {
		return options
	}
	options |= f.RetainHandling << retainHandlingShift
	if f.NoLocal {
		options |= optionNoLocal
	}
	if f.RetainAsPublished {
		options |= optionRetainAsPublished
	}
	return options
}

// check says what is wrong with p, read or written, besides its filters.
func (p *Subscribe) check(v Version) *Error {
	if len(p.Filters) == 0 {
		return broken(v, ReasonProtocolError, "MQTT3-3.8.3-3 MQTT5-3.8.3-2", "SUBSCRIBE has no topic filter")
	}
	if v == V5 && p.Properties.count(PropertySubscriptionID) > 1 {
		return broken(v, ReasonProtocolError, "MQTT5-3.8.2.1.2", "SUBSCRIBE has more than one subscription identifier")
	}
	return nil
}

// check says what is wrong with the options of f, read or written.
func (f *Filter) check(v Version) *Error {
	switch {
	case f.QoS > 2:
		return broken(v, ReasonProtocolError, "MQTT3-3-8.3-4 MQTT5-3.8.3.1", "subscription has QoS 3")
	case v != V5:
		return nil
	case f.RetainHandling > 2:
		return broken(v, ReasonProtocolError, "MQTT5-3.8.3.1", "subscription has retain handling 3")
	case f.NoLocal && isShared(f.Topic):
		return broken(v, ReasonProtocolError, "MQTT5-3.8.3-4", "shared subscription has no local")
	}
	return nil
}

func (d *Decoder) decodeSubscribe(c *cursor) Packet {
	p := &d.subscribe
	*p = Subscribe{ID: c.id(fieldPacketID)}
	c.properties(&p.Properties, subscribeProperties)
	d.filters = slices.Grow(d.filters[:0], c.strings(1))
	for len(c.b) > 0 {
		f := Filter{Topic: d.filter(c, fieldFilter)}
		f.take(c, c.byte(fieldOptions))
		d.filters = append(d.filters, f)
	}
	p.Filters = d.filters
	c.verdict(p.check(c.v))
	return p
}

// take splits the subscription options.
func (f *Filter) take(c *cursor, options byte) {
	f.QoS = options & optionQoS
	reserved := byte(optionReserved)
	if c.v != V5 {
		reserved = ^byte(optionQoS)
	} else {
		f.NoLocal = options&optionNoLocal != 0
		f.RetainAsPublished = options&optionRetainAsPublished != 0
		f.RetainHandling = options >> retainHandlingShift & 3
	}
	if options&reserved != 0 {
		c.fail(ReasonMalformedPacket, "MQTT3-3-8.3-4 MQTT5-3.8.3-5", "reserved subscription option is set")
	}
	c.verdict(f.check(c.v))
}

// filter reads a topic filter.
func (d *Decoder) filter(c *cursor, f field) []byte {
	b := c.data(f)
	if c.err != nil {
		return nil
	}
	if x := subscriptionFault(b, c.v); !d.tolerates(x) {
		c.refuse(f, x)
	}
	return b
}

// strings counts the strings that are left, each with extra bytes behind it, so
// that room for them is made once and only for as many as there are.
func (c *cursor) strings(extra int) int {
	n := 0
	for b := c.b; len(b) >= 2; n++ {
		size := 2 + int(binary.BigEndian.Uint16(b)) + extra
		if size > len(b) {
			break
		}
		b = b[size:]
	}
	return n
}

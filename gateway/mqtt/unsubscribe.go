package mqtt

import "slices"

// Unsubscribe is an UNSUBSCRIBE packet (MQTT 5.0 section 3.10). It has at least
// one filter.
type Unsubscribe struct {
	ID         uint16
	Filters    [][]byte
	Properties Properties
}

// Type implements [Packet].
func (*Unsubscribe) Type() Type { return TypeUnsubscribe }

// Append implements [Packet]. It takes filters with '+' and '#' anywhere, as
// [Decoder.LenientFilters] does.
func (p *Unsubscribe) Append(b []byte, v Version) ([]byte, error) {
	w := open(b, v, byte(TypeUnsubscribe)<<4|fixedFlags(TypeUnsubscribe), p.check(v))
	w.id(fieldPacketID, p.ID)
	w.properties(&p.Properties, unsubscribeProperties)
	for _, f := range p.Filters {
		w.filter(fieldUnsubscribeFilter, f)
	}
	return w.close()
}

// check says what is wrong with p, read or written, besides its filters.
func (p *Unsubscribe) check(v Version) *Error {
	if len(p.Filters) == 0 {
		return broken(v, ReasonProtocolError, "MQTT3-3.10.3-2 MQTT5-3.10.3-2", "UNSUBSCRIBE has no topic filter")
	}
	return nil
}

func (d *Decoder) decodeUnsubscribe(c *cursor) Packet {
	p := &d.unsubscribe
	*p = Unsubscribe{ID: c.id(fieldPacketID)}
	c.properties(&p.Properties, unsubscribeProperties)
	d.topics = slices.Grow(d.topics[:0], c.strings(0))
	for len(c.b) > 0 {
		d.topics = append(d.topics, d.filter(c, fieldUnsubscribeFilter))
	}
	p.Filters = d.topics
	c.verdict(p.check(c.v))
	return p
}

package mqtt

import "slices"

// SubackFailure is the code of a refused filter in a SUBACK before MQTT 5.
const SubackFailure byte = 0x80

// Suback is a SUBACK packet (MQTT 5.0 section 3.9). Codes has one code for each
// filter of the SUBSCRIBE, in its order: the QoS granted, or [SubackFailure]
// before MQTT 5 and a [Reason] in MQTT 5.
type Suback struct {
	ID         uint16
	Codes      []byte
	Properties Properties
}

// Unsuback is an UNSUBACK packet (MQTT 5.0 section 3.11). Codes, in MQTT 5, has
// one [Reason] for each filter of the UNSUBSCRIBE, in its order; earlier
// versions have none.
type Unsuback struct {
	ID         uint16
	Codes      []byte
	Properties Properties
}

// Type implements [Packet].
func (*Suback) Type() Type { return TypeSuback }

// Type implements [Packet].
func (*Unsuback) Type() Type { return TypeUnsuback }

// Append implements [Packet].
func (p *Suback) Append(b []byte, v Version) ([]byte, error) {
	w := open(b, v, byte(TypeSuback)<<4, p.check(v))
	w.id(fieldSubackID, p.ID)
	w.properties(&p.Properties, ackProperties)
	w.rest(p.Codes)
	return w.close()
}

// Append implements [Packet]. Before MQTT 5 it leaves the codes out.
func (p *Unsuback) Append(b []byte, v Version) ([]byte, error) {
	w := open(b, v, byte(TypeUnsuback)<<4, p.check(v))
	w.id(fieldSubackID, p.ID)
	if v == V5 {
		w.properties(&p.Properties, ackProperties)
		w.rest(p.Codes)
	}
	return w.close()
}

// check says what is wrong with p, read or written.
func (p *Suback) check(v Version) *Error {
	switch n := len(p.Codes); {
	case n == 0:
		return broken(v, ReasonProtocolError, "MQTT3-3.8.4-5 MQTT5-3.8.4-6", "SUBACK has no code")
	case n > maxRemaining:
		return tooLarge(v)
	}
	for _, code := range p.Codes {
		legal := code <= 2 || code == SubackFailure
		if v == V5 {
			legal = subackReason(Reason(code))
		}
		if !legal {
			return broken(v, ReasonProtocolError, "MQTT3-3.9.3-2 MQTT5-3.9.3-2", "SUBACK has a code that it can't have")
		}
	}
	return nil
}

// check says what is wrong with p, read or written.
func (p *Unsuback) check(v Version) *Error {
	switch n := len(p.Codes); {
	case v != V5:
		return nil
	case n == 0:
		return broken(v, ReasonProtocolError, "MQTT5-3.11.3-1", "UNSUBACK has no code")
	case n > maxRemaining:
		return tooLarge(v)
	}
	for _, code := range p.Codes {
		if !unsubackReason(Reason(code)) {
			return broken(v, ReasonProtocolError, "MQTT5-3.11.3-2", "UNSUBACK has a code that it can't have")
		}
	}
	return nil
}

func (d *Decoder) decodeSuback(c *cursor) Packet {
	p := d.takeSuback(c)
	c.verdict(p.check(c.v))
	return p
}

func (d *Decoder) decodeUnsuback(c *cursor) Packet {
	p := (*Unsuback)(d.takeSuback(c))
	c.verdict(p.check(c.v))
	return p
}

// takeSuback reads a SUBACK or an UNSUBACK, which have the same fields and
// share one storage.
func (d *Decoder) takeSuback(c *cursor) *Suback {
	p := &d.suback
	*p = Suback{ID: c.id(fieldSubackID)}
	c.properties(&p.Properties, ackProperties)
	p.Codes = slices.Clip(c.b)
	c.b = nil
	return p
}

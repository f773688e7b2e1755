package mqtt

// Puback is a PUBACK packet, the answer to a PUBLISH with QoS 1 (MQTT 5.0
// section 3.4). [AppendPuback] is the short way to write one.
type Puback struct {
	ID         uint16
	Reason     Reason // MQTT 5
	Properties Properties
}

// Pubrec is a PUBREC packet, the first answer to a PUBLISH with QoS 2 (MQTT
// 5.0 section 3.5).
type Pubrec struct {
	ID         uint16
	Reason     Reason // MQTT 5
	Properties Properties
}

// Pubrel is a PUBREL packet, the answer to PUBREC (MQTT 5.0 section 3.6).
type Pubrel struct {
	ID         uint16
	Reason     Reason // MQTT 5
	Properties Properties
}

// Pubcomp is a PUBCOMP packet, the answer to PUBREL (MQTT 5.0 section 3.7).
type Pubcomp struct {
	ID         uint16
	Reason     Reason // MQTT 5
	Properties Properties
}

// Type implements [Packet].
func (*Puback) Type() Type { return TypePuback }

// Type implements [Packet].
func (*Pubrec) Type() Type { return TypePubrec }

// Type implements [Packet].
func (*Pubrel) Type() Type { return TypePubrel }

// Type implements [Packet].
func (*Pubcomp) Type() Type { return TypePubcomp }

// Append implements [Packet]. A reason of failure is refused before MQTT 5,
// where the packet would say the opposite.
func (p *Puback) Append(b []byte, v Version) ([]byte, error) { return p.append(b, v, TypePuback) }

// Append implements [Packet]. A reason of failure is refused before MQTT 5,
// where the packet would say the opposite.
func (p *Pubrec) Append(b []byte, v Version) ([]byte, error) {
	return (*Puback)(p).append(b, v, TypePubrec)
}

// Append implements [Packet]. A reason of failure is refused before MQTT 5,
// where the packet would say the opposite.
func (p *Pubrel) Append(b []byte, v Version) ([]byte, error) {
	return (*Puback)(p).append(b, v, TypePubrel)
}

// Append implements [Packet]. A reason of failure is refused before MQTT 5,
// where the packet would say the opposite.
func (p *Pubcomp) Append(b []byte, v Version) ([]byte, error) {
	return (*Puback)(p).append(b, v, TypePubcomp)
}

// AppendPuback appends the PUBACK of id, with reason "success" in MQTT 5, to b
// and returns the extended slice: the four bytes that every version knows. An
// id of 0 acknowledges nothing, so the caller must not pass it.
func AppendPuback(b []byte, id uint16) []byte {
	return append(b, byte(TypePuback)<<4, 2, byte(id>>8), byte(id))
}

// append writes p as the acknowledgement t, in the shortest of its three forms
// (MQTT 5.0 section 3.4.2.1).
func (p *Puback) append(b []byte, v Version, t Type) ([]byte, error) {
	w := open(b, v, byte(t)<<4|fixedFlags(t), p.check(v, t))
	w.id(fieldAckID, p.ID)
	w.reason(p.Reason, &p.Properties, ackProperties)
	return w.close()
}

// reason writes what ends an acknowledgement and a DISCONNECT in MQTT 5: reason
// code and properties, of which those at the end that say nothing are left out.
func (w *writer) reason(r Reason, p *Properties, allowed propertySet) {
	if w.v != V5 || r == ReasonSuccess && p.none() {
		return
	}
	w.byte(byte(r))
	if !p.none() {
		w.properties(p, allowed)
	}
}

// check says what is wrong with the reason of p, read or written.
func (p *Puback) check(v Version, t Type) *Error {
	switch {
	case v != V5 && p.Reason >= ReasonUnspecified:
		return broken(v, ReasonProtocolError, "", t.String()+" can't report a failure before MQTT 5")
	case v == V5 && p.Reason != ReasonSuccess && !ackReason(t, p.Reason):
		return broken(v, ReasonProtocolError, ackRules(t), t.String()+" has a reason code that it can't have")
	}
	return nil
}

// ackRules is the statement about the reason codes of acknowledgement t.
func ackRules(t Type) string {
	switch t {
	case TypePuback:
		return "MQTT5-3.4.2-1"
	case TypePubrec:
		return "MQTT5-3.5.2-1"
	case TypePubrel:
		return "MQTT5-3.6.2-1"
	default:
		return "MQTT5-3.7.2-1"
	}
}

// decodeAck reads acknowledgement t. The four have the same fields, so they
// share one storage.
func (d *Decoder) decodeAck(c *cursor, t Type) *Puback {
	p := &d.ack
	*p = Puback{ID: c.id(fieldAckID)}
	if len(c.b) > 0 {
		p.Reason = Reason(c.byte(fieldCode))
		if len(c.b) > 0 {
			c.properties(&p.Properties, ackProperties)
		}
	}
	c.verdict(p.check(c.v, t))
	return p
}

package mqtt

// Disconnect is a DISCONNECT packet (MQTT 5.0 section 3.14). Before MQTT 5 only
// a client sends it, and it says nothing but that all is well.
type Disconnect struct {
	Reason     Reason // MQTT 5
	Properties Properties
}

// Auth is an AUTH packet (MQTT 5.0 section 3.15). Earlier versions have none.
type Auth struct {
	Reason     Reason
	Properties Properties
}

// Type implements [Packet].
func (*Disconnect) Type() Type { return TypeDisconnect }

// Type implements [Packet].
func (*Auth) Type() Type { return TypeAuth }

// Append implements [Packet]. A reason other than [ReasonSuccess] is refused
// before MQTT 5, where DISCONNECT takes back the will: close the connection
// instead.
func (p *Disconnect) Append(b []byte, v Version) ([]byte, error) {
	w := open(b, v, byte(TypeDisconnect)<<4, p.check(v, FromAnyone))
	w.reason(p.Reason, &p.Properties, disconnectProperties)
	return w.close()
}

// Append implements [Packet]. It fails before MQTT 5.
func (p *Auth) Append(b []byte, v Version) ([]byte, error) {
	w := open(b, v, byte(TypeAuth)<<4, p.check(v, FromAnyone))
	if p.Reason != ReasonSuccess || !p.Properties.none() {
		w.byte(byte(p.Reason))
		w.properties(&p.Properties, authProperties)
	}
	return w.close()
}

// check says what is wrong with p, read or written, when from sends it.
func (p *Disconnect) check(v Version, from Sender) *Error {
	switch {
	case v != V5 && p.Reason != ReasonSuccess:
		return broken(v, ReasonProtocolError, "MQTT3-3.14", "DISCONNECT has no reason before MQTT 5")
	case v == V5 && !disconnectReason(p.Reason, from):
		return broken(v, ReasonProtocolError, "MQTT5-3.14.2-1", "DISCONNECT has a reason code that it can't have")
	case from == FromServer && p.Properties.Has(PropertySessionExpiry):
		return broken(v, ReasonProtocolError, "MQTT5-3.14.2-2", "DISCONNECT of a server has a session expiry interval")
	}
	return nil
}

// check says what is wrong with p, read or written, when from sends it. An AUTH
// without any content is success without a method (MQTT 5.0 section 3.15.2.1);
// every other one names its method.
func (p *Auth) check(v Version, from Sender) *Error {
	switch {
	case v != V5:
		return broken(v, ReasonProtocolError, "MQTT3-2.2.1", "AUTH does not exist before MQTT 5")
	case !authReason(p.Reason, from):
		return broken(v, ReasonProtocolError, "MQTT5-3.15.2-1", "AUTH has a reason code that it can't have")
	case !p.Properties.Has(PropertyAuthMethod) && (p.Reason != ReasonSuccess || !p.Properties.none()):
		return broken(v, ReasonProtocolError, "MQTT5-3.15.2.2.2", "AUTH has no authentication method")
	}
	return nil
}

func (d *Decoder) decodeDisconnect(c *cursor) Packet {
	p := &d.disconnect
	*p = Disconnect{}
	if len(c.b) > 0 {
		p.Reason = Reason(c.byte(fieldCode))
		if len(c.b) > 0 {
			c.properties(&p.Properties, disconnectProperties)
		}
	}
	c.verdict(p.check(c.v, d.From))
	return p
}

// decodeAuth reads an AUTH, which shares the storage of DISCONNECT. Unlike
// there, the property length may only be missing with the reason.
func (d *Decoder) decodeAuth(c *cursor) Packet {
	p := (*Auth)(&d.disconnect)
	*p = Auth{}
	if len(c.b) > 0 {
		p.Reason = Reason(c.byte(fieldCode))
		c.properties(&p.Properties, authProperties)
	}
	c.verdict(p.check(c.v, d.From))
	return p
}

package mqtt

// Return codes of CONNACK before MQTT 5 (MQTT 3.1.1 section 3.2.2.3). From
// MQTT 5 on, the code is a [Reason].
const (
	ConnackAccepted       byte = 0
	ConnackBadVersion     byte = 1 // unacceptable protocol version
	ConnackBadClientID    byte = 2 // identifier rejected
	ConnackUnavailable    byte = 3 // server unavailable
	ConnackBadCredentials byte = 4 // bad user name or password
	ConnackNotAuthorized  byte = 5
)

// Connack is a CONNACK packet, the server's answer to CONNECT (MQTT 5.0
// section 3.2).
type Connack struct {
	// SessionPresent says that the server has state of an earlier connection.
	// MQTT 3.1 has no place for it.
	SessionPresent bool
	// Code is one of the Connack constants before MQTT 5, a [Reason] in MQTT 5.
	Code       byte
	Properties Properties
}

// sessionPresentFlag is the only flag of CONNACK.
const sessionPresentFlag = 0x01

// Type implements [Packet].
func (*Connack) Type() Type { return TypeConnack }

// Append implements [Packet].
func (p *Connack) Append(b []byte, v Version) ([]byte, error) {
	w := open(b, v, byte(TypeConnack)<<4, p.check(v))
	var flags byte
	if p.SessionPresent && v != V31 {
		flags = sessionPresentFlag
	}
	w.byte(flags)
	w.byte(p.Code)
	w.properties(&p.Properties, connackProperties)
	return w.close()
}

// check says what is wrong with p, read or written.
func (p *Connack) check(v Version) *Error {
	switch {
	case v == V5 && !connackReason(Reason(p.Code)):
		return broken(v, ReasonProtocolError, "MQTT5-3.2.2-8", "CONNACK has a reason code that it can't have")
	case v != V5 && p.Code > ConnackNotAuthorized:
		return broken(v, ReasonProtocolError, "MQTT3-3.2.2.3", "CONNACK has a reserved return code")
	case p.Code != 0 && p.SessionPresent:
		return broken(v, ReasonProtocolError, "MQTT3-3.2.2-4 MQTT5-3.2.2-6", "CONNACK refuses and has session present")
	}
	return nil
}

func (d *Decoder) decodeConnack(c *cursor) Packet {
	p := &d.connack
	flags := c.byte(fieldConnackFlags)
	*p = Connack{SessionPresent: flags&sessionPresentFlag != 0, Code: c.byte(fieldCode)}
	if flags&^sessionPresentFlag != 0 || flags != 0 && c.v == V31 {
		c.fail(ReasonMalformedPacket, "MQTT3-3.2.2.1 MQTT5-3.2.2-1", "reserved connect acknowledge flag is set")
	}
	c.properties(&p.Properties, connackProperties)
	c.verdict(p.check(c.v))
	return p
}

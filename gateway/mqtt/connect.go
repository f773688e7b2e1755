package mqtt

// Connect is a CONNECT packet, the first that a client sends (MQTT 5.0 section
// 3.1).
type Connect struct {
	// Version is set by [Decoder.Decode]. Append refuses to write a Connect as
	// another version; zero matches any.
	Version     Version
	CleanStart  bool // "clean session" before MQTT 5
	HasUsername bool
	HasPassword bool
	KeepAlive   uint16 // seconds, 0 turns it off
	ClientID    []byte // may be empty
	Username    []byte
	Password    []byte
	Will        *Will // nil: none
	Properties  Properties
}

// Will is the message that a client leaves with its CONNECT, to be published
// when the connection ends without DISCONNECT (MQTT 5.0 section 3.1.2.5).
type Will struct {
	QoS        byte
	Retain     bool
	Topic      []byte
	Payload    []byte
	Properties Properties
}

// The connect flags (MQTT 5.0 section 3.1.2.3).
const (
	connectReserved = 0x01
	cleanStartFlag  = 0x02
	willFlag        = 0x04
	willQoSShift    = 3
	willRetainFlag  = 0x20
	passwordFlag    = 0x40
	usernameFlag    = 0x80
)

// Type implements [Packet].
func (*Connect) Type() Type { return TypeConnect }

// Append implements [Packet].
func (p *Connect) Append(b []byte, v Version) ([]byte, error) {
	w := open(b, v, byte(TypeConnect)<<4, p.check(v))
	name := "MQTT"
	if v == V31 {
		name = "MQIsdp"
	}
	w.uint16(uint16(len(name)))
	w.b = append(w.b, name...)
	w.byte(byte(v))
	w.byte(p.flags())
	w.uint16(p.KeepAlive)
	w.properties(&p.Properties, connectProperties)
	w.text(fieldClientID, p.ClientID)
	if p.Will != nil {
		w.will(p.Will)
	}
	if p.HasUsername {
		w.text(fieldUsername, p.Username)
	}
	if p.HasPassword {
		w.data(fieldPassword, p.Password)
	}
	return w.close()
}

// flags are the connect flags of p.
func (p *Connect) flags() byte {
	var flags byte
	if p.CleanStart {
		flags |= cleanStartFlag
	}
	if p.Will != nil {
		flags |= willFlag | p.Will.QoS<<willQoSShift
		if p.Will.Retain {
			flags |= willRetainFlag
		}
	}
	if p.HasPassword {
		flags |= passwordFlag
	}
	if p.HasUsername {
		flags |= usernameFlag
	}
	return flags
}

// will writes what the payload of CONNECT has of a will. Wildcards in its topic
// pass, as in [Publish.Append].
func (w *writer) will(p *Will) {
	w.properties(&p.Properties, willProperties)
	w.checked(fieldWillTopic, p.Topic, lenient(topicFault(p.Topic)))
	w.data(fieldWillPayload, p.Payload)
}

// check says what is wrong with p when it is written as version v.
func (p *Connect) check(v Version) *Error {
	switch {
	case p.Version != 0 && p.Version != v:
		return broken(v, ReasonUnsupportedVersion, "MQTT3-3.1.2-2 MQTT5-3.1.2-2",
			"CONNECT of "+p.Version.String()+" is not to be written as "+v.String())
	case p.Will != nil && p.Will.QoS > 2:
		return badWillQoS(v)
	case !p.HasUsername && len(p.Username) > 0:
		return broken(v, ReasonMalformedPacket, "MQTT3-3.1.2-18 MQTT5-3.1.2-16", "CONNECT has a user name and no flag for it")
	case !p.HasPassword && len(p.Password) > 0:
		return broken(v, ReasonMalformedPacket, "MQTT3-3.1.2-20 MQTT5-3.1.2-18", "CONNECT has a password and no flag for it")
	}
	return p.checkBoth(v)
}

// checkBoth says what is wrong with p, read or written.
func (p *Connect) checkBoth(v Version) *Error {
	switch {
	case v != V5 && p.HasPassword && !p.HasUsername:
		return broken(v, ReasonMalformedPacket, "MQTT3-3.1.2-22", "CONNECT has a password without a user name")
	case v == V5 && p.Properties.Has(PropertyAuthData) && !p.Properties.Has(PropertyAuthMethod):
		return broken(v, ReasonProtocolError, "MQTT5-3.1.2.11.10", "CONNECT has authentication data without a method")
	}
	return nil
}

// badWillQoS is the error for a will of QoS 3.
func badWillQoS(v Version) *Error {
	return broken(v, ReasonMalformedPacket, "MQTT3-3.1.2-14 MQTT5-3.1.2-12", "will has QoS 3")
}

// decodeConnect reads a CONNECT and sets the version.
func (d *Decoder) decodeConnect(c *cursor) Packet {
	c.protocol()
	if c.err != nil {
		return nil
	}
	d.Version = c.v
	p := &d.connect
	*p = Connect{Version: c.v}
	flags := c.byte(fieldConnectFlags)
	if c.err == nil {
		c.connectFlags(flags)
	}
	p.CleanStart = flags&cleanStartFlag != 0
	p.KeepAlive = c.uint16(fieldKeepAlive)
	c.properties(&p.Properties, connectProperties)
	p.ClientID = c.text(fieldClientID)
	if flags&willFlag != 0 {
		p.Will = d.decodeWill(c, flags)
	}
	c.credentials(p, flags)
	if len(c.b) > 0 {
		c.end(absentFieldRules(flags))
	}
	c.verdict(p.checkBoth(c.v))
	return p
}

// protocol reads the protocol name and level of a CONNECT.
func (c *cursor) protocol() {
	name := c.data(fieldProtocolName)
	if c.err != nil {
		return
	}
	var level byte
	if len(c.b) > 0 {
		level = c.b[0]
	}
	known := Version(level)
	switch {
	case string(name) == "MQIsdp" && known == V31, string(name) == "MQTT" && (known == V311 || known == V5):
		c.v = known
		c.b = c.b[1:]
	case string(name) == "MQIsdp" || string(name) == "MQTT":
		c.unsupported(level, "MQTT3-3.1.2-2 MQTT5-3.1.2-2", "protocol level is not supported")
	default:
		c.unsupported(level, "MQTT3-3.1.2-1 MQTT5-3.1.2-1", "protocol name is not MQTT")
	}
}

// unsupported refuses a CONNECT that asks for level.
func (c *cursor) unsupported(level byte, rules, text string) {
	v := V311
	if level >= byte(V5) {
		v = V5
	}
	err := broken(v, ReasonUnsupportedVersion, rules, text)
	err.Level = level
	c.failed(err)
}

// connectFlags refuses flags that contradict each other.
func (c *cursor) connectFlags(flags byte) {
	qos := flags >> willQoSShift & 3
	switch will := flags&willFlag != 0; {
	case flags&connectReserved != 0:
		c.fail(ReasonMalformedPacket, "MQTT3-3.1.2-3 MQTT5-3.1.2-3", "reserved connect flag is set")
	case !will && qos != 0:
		c.fail(ReasonMalformedPacket, "MQTT3-3.1.2-13 MQTT3-3.1.2-11 MQTT5-3.1.2-11", "will QoS without a will")
	case qos == 3:
		c.failed(badWillQoS(c.v))
	case !will && flags&willRetainFlag != 0:
		c.fail(ReasonMalformedPacket, "MQTT3-3.1.2-15 MQTT3-3.1.2-11 MQTT5-3.1.2-13", "will retain without a will")
	}
}

// decodeWill reads what the payload of CONNECT has of a will.
func (d *Decoder) decodeWill(c *cursor, flags byte) *Will {
	w := &d.will
	*w = Will{QoS: flags >> willQoSShift & 3, Retain: flags&willRetainFlag != 0}
	c.properties(&w.Properties, willProperties)
	w.Topic = c.data(fieldWillTopic)
	if x := topicFault(w.Topic); c.err == nil && !d.tolerates(x) {
		c.refuse(fieldWillTopic, x)
	}
	w.Payload = c.data(fieldWillPayload)
	return w
}

// credentials reads user name and password. In MQTT 3.1, the end of the packet
// comes before the flags: old clients set them and send neither (MQTT 3.1
// section 3.1, "user name and password").
func (c *cursor) credentials(p *Connect, flags byte) {
	missing := func() bool { return c.v == V31 && len(c.b) == 0 }
	if flags&usernameFlag != 0 && !missing() {
		p.HasUsername = true
		p.Username = c.text(fieldUsername)
	}
	if flags&passwordFlag != 0 && !missing() {
		p.HasPassword = true
		p.Password = c.data(fieldPassword)
	}
}

// absentFieldRules are the statements that bytes behind the last field of a
// CONNECT may break: those on the fields that its flags deny.
func absentFieldRules(flags byte) string {
	var rules string
	if flags&passwordFlag == 0 {
		rules += " MQTT3-3.1.2-20 MQTT5-3.1.2-18"
	}
	if flags&usernameFlag == 0 {
		rules += " MQTT3-3.1.2-18 MQTT5-3.1.2-16"
	}
	if flags&willFlag == 0 {
		rules += " MQTT3-3.1.2-11"
	}
	return rules
}

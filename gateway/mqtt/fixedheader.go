package mqtt

// Limits of the wire format.
const (
	maxRemaining = 268435455        // what four length bytes can say
	maxPacket    = maxRemaining + 5 // with type and length
	maxString    = 65535            // what two length bytes can say
)

// header reads the fixed header of b: its own size and that of the packet, both
// 0 if more bytes are needed.
func (d *Decoder) header(b []byte) (head, size int, fault *Error) {
	if len(b) == 0 {
		return 0, 0, nil
	}
	if err := d.checkFirst(b[0]); err != nil {
		return 0, 0, err
	}
	n, digits := varint(b[1:])
	switch {
	case digits == 0:
		return 0, 0, nil
	case digits == tooManyDigits:
		return 0, 0, broken(d.Version, ReasonMalformedPacket, "MQTT3-2.2.3 MQTT5-1.5.5-1",
			"remaining length has more than four bytes")
	case digits < 0:
		// MQTT 3.1.1 does not ask for the shortest form. The version of a CONNECT
		// is known later: decodeConnect looks again.
		if d.Version == V5 {
			return 0, 0, longLength()
		}
		digits = -digits
	}
	head = 1 + digits
	size = head + int(n)
	if err := d.checkSize(Type(b[0]>>4), head, size); err != nil {
		return 0, 0, err
	}
	return head, size, nil
}

// longLength is the error for a remaining length with needless bytes.
func longLength() *Error {
	return broken(V5, ReasonMalformedPacket, "MQTT5-1.5.5-1", "remaining length is not in its shortest form")
}

// checkFirst refuses a packet for its first byte.
func (d *Decoder) checkFirst(first byte) *Error {
	t, flags := Type(first>>4), first&0x0F
	if err := d.checkType(t); err != nil {
		return err
	}
	if t == TypePublish {
		return checkPublishFlags(flags, d.Version)
	}
	want := fixedFlags(t)
	again := d.Version == V31 && want == qos1Flag && flags == qos1Flag|dupFlag
	if flags != want && !again {
		return broken(d.Version, ReasonMalformedPacket, flagRules(t), "reserved flags of "+t.String()+" are wrong")
	}
	return nil
}

// checkType refuses a type that is reserved, out of turn or not for this sender
// to send.
func (d *Decoder) checkType(t Type) *Error {
	known := d.Version.known()
	switch {
	case t == 0 || t == TypeAuth && known && d.Version != V5:
		return broken(d.Version, ReasonMalformedPacket, "MQTT3-2.2.1 MQTT5-2.1.2", "packet type is reserved")
	case t != TypeConnect && !known:
		return broken(0, ReasonProtocolError, "MQTT3-3.1.0-1 MQTT5-3.1.0-1", "first packet is not CONNECT")
	case t == TypeConnect && known:
		return broken(d.Version, ReasonProtocolError, "MQTT3-3.1.0-2 MQTT5-3.1.0-2", "second CONNECT")
	case !d.From.sends(t, d.Version):
		return broken(d.Version, ReasonProtocolError, "", t.String()+" from the wrong side")
	}
	return nil
}

// The flags of the fixed header (MQTT 5.0 section 2.1.3).
const (
	retainFlag = 0x01
	qos1Flag   = 0x02
	dupFlag    = 0x08
)

// checkPublishFlags refuses what PUBLISH flags can't say.
func checkPublishFlags(flags byte, v Version) *Error {
	switch qos := flags >> 1 & 3; {
	case qos == 3:
		return broken(v, ReasonMalformedPacket, "MQTT3-3.3.1-4 MQTT5-3.3.1-4", "PUBLISH has QoS 3")
	case qos == 0 && flags&dupFlag != 0:
		return broken(v, ReasonMalformedPacket, "MQTT3-3.3.1-2 MQTT5-3.3.1-2", "PUBLISH has DUP with QoS 0")
	}
	return nil
}

// fixedFlags are the flags of every packet of type t but PUBLISH. Those of
// PUBREL, SUBSCRIBE and UNSUBSCRIBE say QoS 1, which MQTT 3.1 took seriously:
// there they may say DUP, too.
func fixedFlags(t Type) byte {
	switch t {
	case TypePubrel, TypeSubscribe, TypeUnsubscribe:
		return qos1Flag
	default:
		return 0
	}
}

// flagRules are the statements about the flags of a packet of type t.
func flagRules(t Type) string {
	const all = " MQTT3-2.2.2-2 MQTT3-2.2.2-1 MQTT5-2.1.3-1"
	switch t {
	case TypePubrel:
		return "MQTT3-3.6.1-1 MQTT5-3.6.1-1" + all
	case TypeSubscribe:
		return "MQTT3-3.8.1-1 MQTT5-3.8.1-1" + all
	case TypeUnsubscribe:
		return "MQTT3-3.10.1-1 MQTT5-3.10.1-1" + all
	case TypeDisconnect:
		return "MQTT3-3.14.1-1 MQTT5-3.14.1-1" + all
	case TypeAuth:
		return "MQTT5-3.15.1-1" + all
	default:
		return all
	}
}

// checkSize refuses a packet for its size: above the limit, or other than a
// packet of its type has.
func (d *Decoder) checkSize(t Type, head, size int) *Error {
	limit := d.MaxPacket
	if limit <= 0 {
		limit = maxPacket
	}
	if size > limit {
		return broken(d.Version, ReasonPacketTooLarge, d.From.sizeRule(), t.String()+" is larger than allowed")
	}
	if n, fixed := fixedSize(t, d.Version); fixed && size-head != n {
		return broken(d.Version, ReasonMalformedPacket, "", t.String()+" has a wrong remaining length")
	}
	return nil
}

// fixedSize is the remaining length of the packets for which it never varies.
func fixedSize(t Type, v Version) (n int, fixed bool) {
	switch t {
	case TypePingreq, TypePingresp:
		return 0, true
	case TypeDisconnect:
		return 0, v != V5
	case TypeConnack, TypePuback, TypePubrec, TypePubrel, TypePubcomp, TypeUnsuback:
		return 2, v != V5
	default:
		return 0, false
	}
}

// tooManyDigits is what varint returns for a number that goes on after four
// bytes.
const tooManyDigits = -5

// varint reads a variable byte integer (MQTT 5.0 section 1.5.5) from the front
// of b and says how many bytes it has: 0 if more are needed, tooManyDigits, or
// the negative of their number if fewer would have done.
func varint(b []byte) (x uint32, digits int) {
	for i, digit := range b {
		x |= uint32(digit&0x7F) << (7 * i)
		switch {
		case digit >= 0x80 && i == 3:
			return 0, tooManyDigits
		case digit >= 0x80:
			continue
		case digit == 0 && i > 0:
			return x, -(i + 1)
		}
		return x, i + 1
	}
	return 0, 0
}

// appendVarint appends x as a variable byte integer. x is at most maxRemaining.
func appendVarint(b []byte, x uint32) []byte {
	for x >= 0x80 {
		b = append(b, byte(x)|0x80)
		x >>= 7
	}
	return append(b, byte(x))
}

// varintSize is the number of bytes that appendVarint appends.
func varintSize(x uint32) int {
	n := 1
	for x >= 0x80 {
		n++
		x >>= 7
	}
	return n
}

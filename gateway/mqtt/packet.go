package mqtt

import "strconv"

// Version is the protocol level that a CONNECT carries.
type Version byte

// The versions that this package speaks.
const (
	V31  Version = 3 // MQTT 3.1, protocol name "MQIsdp"
	V311 Version = 4 // MQTT 3.1.1
	V5   Version = 5 // MQTT 5.0
)

// String names the version as its specification does.
func (v Version) String() string {
	switch v {
	case V31:
		return "MQTT 3.1"
	case V311:
		return "MQTT 3.1.1"
	case V5:
		return "MQTT 5.0"
	default:
		return "MQTT level " + strconv.Itoa(int(v))
	}
}

// known reports whether this package speaks v.
func (v Version) known() bool { return v >= V31 && v <= V5 }

// Type is the control packet type, the upper half of a packet's first byte
// (MQTT 5.0 section 2.1.2).
type Type byte

// The control packet types.
const (
	TypeConnect     Type = 1
	TypeConnack     Type = 2
	TypePublish     Type = 3
	TypePuback      Type = 4
	TypePubrec      Type = 5
	TypePubrel      Type = 6
	TypePubcomp     Type = 7
	TypeSubscribe   Type = 8
	TypeSuback      Type = 9
	TypeUnsubscribe Type = 10
	TypeUnsuback    Type = 11
	TypePingreq     Type = 12
	TypePingresp    Type = 13
	TypeDisconnect  Type = 14
	TypeAuth        Type = 15 // MQTT 5.0 only
)

// String names the type in capitals, as the specification does.
func (t Type) String() string {
	names := [...]string{
		"reserved packet type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
		"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
	}
	if int(t) < len(names) {
		return names[t]
	}
	return "packet type " + strconv.Itoa(int(t))
}

// Packet is one control packet: a pointer to one of [Connect], [Connack],
// [Publish], [Puback], [Pubrec], [Pubrel], [Pubcomp], [Subscribe], [Suback],
// [Unsubscribe], [Unsuback], [Pingreq], [Pingresp], [Disconnect] or [Auth].
type Packet interface {
	// Type says which packet it is.
	Type() Type
	// Append appends the packet, as version v writes it, to b and returns the
	// extended slice. It does not allocate when b has room. What v has no
	// place for is left out: properties and MQTT 5 options before MQTT 5. What
	// no peer would accept is refused: the error is an *Error like those of
	// [Decoder.Decode], and b comes back as it was.
	Append(b []byte, v Version) ([]byte, error)
}

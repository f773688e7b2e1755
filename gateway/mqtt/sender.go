package mqtt

// Sender says who wrote the packets that a [Decoder] reads.
type Sender byte

// The senders. With [FromAnyone], rules that hold for one sender only are not
// enforced.
const (
	FromAnyone Sender = iota
	FromClient
	FromServer
)

// sends reports whether the sender may send packets of type t (MQTT 5.0 section
// 2.1.2, "direction of flow").
func (s Sender) sends(t Type, v Version) bool {
	switch t {
	case TypeConnect, TypeSubscribe, TypeUnsubscribe, TypePingreq:
		return s != FromServer
	case TypeConnack, TypeSuback, TypeUnsuback, TypePingresp:
		return s != FromClient
	case TypeDisconnect:
		return s != FromServer || v == V5
	default:
		return true
	}
}

// sizeRule is the statement about the other side's limit on packet sizes, which
// only MQTT 5 has.
func (s Sender) sizeRule() string {
	switch s {
	case FromClient:
		return "MQTT5-3.2.2-15"
	case FromServer:
		return "MQTT5-3.1.2-24"
	default:
		return ""
	}
}

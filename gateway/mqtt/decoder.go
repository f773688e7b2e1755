package mqtt

// keepTopics is the number of topic filters for which a Decoder keeps room from
// one connection to the next.
const keepTopics = 64

// Decoder decodes the packets of one connection, one after the other. Its
// exported fields may be set at any time between packets. It holds the storage
// of the packets that it returns, so that decoding allocates nothing but room
// for topic filters, when a packet has more of them than any before. A Decoder
// is for one goroutine at a time.
type Decoder struct {
	// Version is 0 until a CONNECT sets it; the reader of a server's packets
	// sets it itself. While it is 0, every other packet is refused; once it is
	// set, a CONNECT is refused [MQTT5-3.1.0-1] [MQTT5-3.1.0-2]. A CONNECT that
	// names a known version sets it even if the rest is malformed.
	Version Version
	// From turns on the rules that hold for one sender only: the packet types
	// that it sends, its reason codes and its properties.
	From Sender
	// LenientTopics lets PUBLISH and will topics hold '+' and '#', which
	// [MQTT3-3.3.2-2] forbids. Some Azure SDKs do not escape what they put
	// into a topic.
	LenientTopics bool
	// LenientFilters lets topic filters of SUBSCRIBE and UNSUBSCRIBE hold '+'
	// and '#' anywhere, which [MQTT3-4.7.1-2] and [MQTT3-4.7.1-3] forbid: IoT
	// Hub device ids, which are part of its filters, may hold both.
	LenientFilters bool
	// MaxPacket is the limit of a whole packet in bytes. 0 means the limit of
	// the protocol, 268435460.
	MaxPacket int

	connect     Connect
	will        Will
	connack     Connack
	publish     Publish
	ack         Puback
	subscribe   Subscribe
	suback      Suback
	unsubscribe Unsubscribe
	disconnect  Disconnect

	filters []Filter // storage of subscribe.Filters
	topics  [][]byte // storage of unsubscribe.Filters
}

// Frame returns the size in bytes of the first packet of b as soon as its fixed
// header is there: the size may be more than len(b). It is 0 while more bytes
// are needed to know. A packet that its fixed header shows to be wrong or
// larger than MaxPacket is refused at once, at the first byte if possible: the
// error is an *Error.
func (d *Decoder) Frame(b []byte) (size int, err error) {
	_, size, fault := d.header(b)
	if fault != nil {
		return 0, fault
	}
	return size, nil
}

// Decode decodes b, which holds exactly one packet, as Frame delimits it. The
// packet points into d and into b: it is valid until the next Decode and as
// long as b is not written to. The error is an *Error.
func (d *Decoder) Decode(b []byte) (Packet, error) {
	head, size, err := d.header(b)
	switch {
	case err != nil:
		return nil, err
	case size == 0 || size > len(b):
		return nil, broken(d.Version, ReasonMalformedPacket, "", "packet is cut short")
	case size < len(b):
		return nil, broken(d.Version, ReasonMalformedPacket, "", "bytes follow the packet")
	}
	c := cursor{b: b[head:], v: d.Version}
	p := d.decode(&c, b[0])
	c.end("")
	if c.v == V5 && head-1 != varintSize(uint32(size-head)) {
		c.failed(longLength()) // of a CONNECT: others are refused by their header
	}
	if c.err != nil {
		return nil, c.err
	}
	return p, nil
}

// tolerates reports whether x, which is wrong with a topic or a filter, does not
// matter.
func (d *Decoder) tolerates(x fault) bool {
	switch x {
	case faultNone:
		return true
	case faultWildcard:
		return d.LenientTopics
	case faultHash, faultPlus:
		return d.LenientFilters
	default:
		return false
	}
}

// decode reads the packet whose fixed header begins with first.
func (d *Decoder) decode(c *cursor, first byte) Packet {
	switch t := Type(first >> 4); t {
	case TypePublish:
		return d.decodePublish(c, first)
	case TypePuback:
		return d.decodeAck(c, t)
	case TypePubrec:
		return (*Pubrec)(d.decodeAck(c, t))
	case TypePubrel:
		return (*Pubrel)(d.decodeAck(c, t))
	case TypePubcomp:
		return (*Pubcomp)(d.decodeAck(c, t))
	case TypePingreq:
		return &Pingreq{}
	case TypePingresp:
		return &Pingresp{}
	default:
		return d.decodeRare(c, t)
	}
}

// decodeRare reads one of the packets that open or close something.
func (d *Decoder) decodeRare(c *cursor, t Type) Packet {
	switch t {
	case TypeConnect:
		return d.decodeConnect(c)
	case TypeConnack:
		return d.decodeConnack(c)
	case TypeSubscribe:
		return d.decodeSubscribe(c)
	case TypeSuback:
		return d.decodeSuback(c)
	case TypeUnsubscribe:
		return d.decodeUnsubscribe(c)
	case TypeUnsuback:
		return d.decodeUnsuback(c)
	case TypeAuth:
		return d.decodeAuth(c)
	default: // DISCONNECT: checkFirst lets no other type pass
		return d.decodeDisconnect(c)
	}
}

// Reset prepares d for another connection: it forgets the version, the last
// packets with the bytes that they point to, and uncommonly large storage. It
// keeps From, LenientTopics, LenientFilters and MaxPacket.
func (d *Decoder) Reset() {
	*d = Decoder{
		From:           d.From,
		LenientTopics:  d.LenientTopics,
		LenientFilters: d.LenientFilters,
		MaxPacket:      d.MaxPacket,
		filters:        emptied(d.filters),
		topics:         emptied(d.topics),
	}
}

// emptied is s without elements, or nil if it is large.
func emptied[E any](s []E) []E {
	if cap(s) > keepTopics {
		return nil
	}
	clear(s[:cap(s)])
	return s[:0]
}

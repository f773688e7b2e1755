package mqtt

import (
	"encoding/binary"
	"slices"
)

// Publish is a PUBLISH packet: a message, either way (MQTT 5.0 section 3.3).
type Publish struct {
	Dup        bool
	Retain     bool
	QoS        byte
	ID         uint16 // packet identifier, 0 with QoS 0
	Topic      []byte // empty only in MQTT 5, with a topic alias
	Payload    []byte
	Properties Properties
}

// Type implements [Packet].
func (*Publish) Type() Type { return TypePublish }

// Append implements [Packet]. It takes a topic with '+' or '#', since the ids
// of IoT Hub devices, which are part of the topics that they get, may hold
// them.
func (p *Publish) Append(b []byte, v Version) ([]byte, error) {
	if err := p.check(v); err != nil {
		return b, err
	}
	size := p.size(v)
	if size > maxRemaining {
		return b, tooLarge(v)
	}
	b = slices.Grow(b, 5+size)
	b = append(b, byte(TypePublish)<<4|p.flags())
	b = appendVarint(b, uint32(size))
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Topic)))
	b = append(b, p.Topic...)
	if p.QoS > 0 {
		b = binary.BigEndian.AppendUint16(b, p.ID)
	}
	if v == V5 {
		b = p.Properties.append(b)
	}
	return append(b, p.Payload...), nil
}

// size is the remaining length of p.
func (p *Publish) size(v Version) int {
	size := 2 + len(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		size += 2
	}
	if v == V5 {
		n := len(p.Properties.raw)
		size += n + varintSize(uint32(min(n, maxPacket)))
	}
	return size
}

// flags are the flags of the fixed header.
func (p *Publish) flags() byte {
	flags := p.QoS << 1
	if p.Retain {
		flags |= retainFlag
	}
	if p.Dup {
		flags |= dupFlag
	}
	return flags
}

// check says what is wrong with p when it is written.
func (p *Publish) check(v Version) *Error {
	flags := p.flags()
	switch {
	case !v.known():
		return unknownVersion(v)
	case p.QoS > 2:
		flags = 3 << 1
	case p.QoS == 0 && p.ID != 0:
		return broken(v, ReasonProtocolError, "MQTT3-2.3.1-5 MQTT5-2.2.1-2", "PUBLISH has QoS 0 and a packet identifier")
	case p.QoS > 0 && p.ID == 0:
		return zeroID(fieldPacketID, v)
	}
	if err := checkPublishFlags(flags, v); err != nil {
		return err
	}
	if v == V5 {
		if err := p.Properties.check(publishProperties); err != nil {
			return err
		}
	}
	if x := lenient(p.topicFault(v)); x != faultNone {
		return x.in(fieldTopic, v)
	}
	return nil
}

// topicFault says what is wrong with the topic, which may be empty if an alias
// stands for it (MQTT 5.0 section 3.3.2.1).
func (p *Publish) topicFault(v Version) fault {
	if len(p.Topic) == 0 && v == V5 && p.Properties.Has(PropertyTopicAlias) {
		return faultNone
	}
	return topicFault(p.Topic)
}

// decodePublish reads a PUBLISH whose flags were checked with its header.
func (d *Decoder) decodePublish(c *cursor, first byte) Packet {
	p := &d.publish
	*p = Publish{
		Dup:    first&dupFlag != 0,
		Retain: first&retainFlag != 0,
		QoS:    first >> 1 & 3,
		Topic:  c.data(fieldTopic),
	}
	if p.QoS > 0 {
		p.ID = c.id(fieldPacketID)
	}
	c.properties(&p.Properties, publishProperties)
	if c.err != nil {
		return nil
	}
	if x := p.topicFault(c.v); !d.tolerates(x) {
		c.refuse(fieldTopic, x)
	}
	if d.From == FromClient && p.Properties.Has(PropertySubscriptionID) {
		c.fail(ReasonProtocolError, "MQTT5-3.3.4-6", "PUBLISH of a client has a subscription identifier")
	}
	p.Payload = slices.Clip(c.b)
	c.b = nil
	return p
}

//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The first bytes of the packets the generator sends and reads (MQTT 3.1.1,
// 2.2: type in the high nibble, flags in the low one).
const (
	typeConnect    byte = 0x10
	typeConnack    byte = 0x20
	typePublishQ0  byte = 0x30
	typePublishQ1  byte = 0x32
	flagDup        byte = 0x08
	typePuback     byte = 0x40
	typeSubscribe  byte = 0x82
	typeSuback     byte = 0x90
	typePingresp   byte = 0xD0
	typeDisconnect byte = 0xE0
)

// maxPacketID is the largest packet identifier; 0 is not one [MQTT-2.3.1-1].
const maxPacketID = 65535

// errFrame is returned for bytes that cannot be the start of a packet.
var errFrame = errors.New("remaining length has more than four bytes")

// connect describes a CONNECT packet of MQTT 3.1.1.
type connect struct {
	ClientID, Username, Password string
	Clean                        bool
	KeepAlive                    uint16
}

// append encodes c. User name and password are sent when they are not empty.
func (c connect) append(b []byte) []byte {
	body := appendString(nil, "MQTT")
	body = append(body, 4, c.flags())
	body = binary.BigEndian.AppendUint16(body, c.KeepAlive)
	body = appendString(body, c.ClientID)
	if c.Username != "" {
		body = appendString(body, c.Username)
	}
	if c.Password != "" {
		body = appendString(body, c.Password)
	}
	return append(appendHeader(b, typeConnect, len(body)), body...)
}

func (c connect) flags() byte {
	var flags byte
	if c.Clean {
		flags |= 1 << 1
	}
	if c.Password != "" {
		flags |= 1 << 6
	}
	if c.Username != "" {
		flags |= 1 << 7
	}
	return flags
}

// publish is an encoded QoS 1 PUBLISH in which only the packet id changes from
// one message to the next.
type publish struct {
	packet []byte
	idAt   int
}

// newPublish encodes topic and payload.
func newPublish(topic string, payload []byte) publish {
	size := 2 + len(topic) + 2 + len(payload)
	b := appendHeader(nil, typePublishQ1, size)
	b = appendString(b, topic)
	p := publish{idAt: len(b)}
	p.packet = append(append(b, 0, 0), payload...)
	return p
}

// append adds the packet with the given id to b.
func (p publish) append(b []byte, id uint16) []byte {
	at := len(b) + p.idAt
	b = append(b, p.packet...)
	binary.BigEndian.PutUint16(b[at:], id)
	return b
}

// appendSubscribe encodes a SUBSCRIBE for one filter at QoS 1.
func appendSubscribe(b []byte, id uint16, filter string) []byte {
	b = appendHeader(b, typeSubscribe, 2+2+len(filter)+1)
	b = binary.BigEndian.AppendUint16(b, id)
	return append(appendString(b, filter), 1)
}

// appendDisconnect encodes a DISCONNECT.
func appendDisconnect(b []byte) []byte { return append(b, typeDisconnect, 0) }

// packetID is the identifier of message number n, counted from 0.
func packetID(n uint64) uint16 { return uint16(n%maxPacketID) + 1 }

// frame returns the size of the first packet in b, or 0 when b does not hold
// all of it yet.
func frame(b []byte) (int, error) {
	length, shift := 0, 0
	for i := 1; i < len(b); i++ {
		length |= int(b[i]&0x7F) << shift
		if b[i] < 0x80 {
			size := 1 + i + length
			if size > len(b) {
				return 0, nil
			}
			return size, nil
		}
		if i == 4 {
			return 0, errFrame
		}
		shift += 7
	}
	return 0, nil
}

// checkConnack reports why packet does not accept a connection.
func checkConnack(packet []byte) error {
	if len(packet) != 4 || packet[0] != typeConnack {
		return fmt.Errorf("expected CONNACK, got %x", packet)
	}
	if packet[3] != 0 {
		return fmt.Errorf("connection refused with return code %d", packet[3])
	}
	return nil
}

// checkSuback reports why packet does not grant a subscription.
func checkSuback(packet []byte) error {
	if len(packet) != 5 || packet[0] != typeSuback || packet[4] > 1 {
		return fmt.Errorf("expected SUBACK, got %x", packet)
	}
	return nil
}

func appendHeader(b []byte, first byte, length int) []byte {
	b = append(b, first)
	for {
		digit := byte(length & 0x7F)
		length >>= 7
		if length == 0 {
			return append(b, digit)
		}
		b = append(b, digit|0x80)
	}
}

func appendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

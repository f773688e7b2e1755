//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	twinAnswers = "$iothub/twin/res/#"
	twinGet     = "$iothub/twin/GET/?$rid="
	twinPatch   = "$iothub/twin/PATCH/properties/reported/?$rid="

	// numberSize is the width of the hexadecimal number of a request, which is
	// its $rid too.
	numberSize = 8
)

// request is an encoded QoS 0 PUBLISH that asks for something and is answered
// by a QoS 0 PUBLISH. From one to the next only its number changes.
type request struct {
	packet   []byte
	numberAt []int  // where the number stands
	answer   []byte // topic of the answer up to the number
}

// newRequest encodes a request whose topic ends with its number. Every @ of the
// body stands for the number too; the answer has the status.
func newRequest(topic, body string, status int) *request {
	zeros := strings.Repeat("0", numberSize)
	topic += zeros
	payload := strings.ReplaceAll(body, "@", zeros)
	b := appendHeader(nil, typePublishQ0, 2+len(topic)+len(payload))
	b = appendString(b, topic)
	r := &request{numberAt: []int{len(b) - numberSize}, answer: fmt.Appendf(nil, "$iothub/twin/res/%d/?$rid=", status)}
	start := len(b)
	for i := range len(body) {
		if body[i] == '@' {
			r.numberAt = append(r.numberAt, start+i+(numberSize-1)*(len(r.numberAt)-1))
		}
	}
	r.packet = append(b, payload...)
	return r
}

// append adds request number n to b.
func (r *request) append(b []byte, n uint64) []byte {
	start := len(b)
	b = append(b, r.packet...)
	for _, at := range r.numberAt {
		putNumber(b[start+at:], n)
	}
	return b
}

// putNumber writes n over the first bytes of b.
func putNumber(b []byte, n uint64) {
	const digits = "0123456789abcdef"
	for i := numberSize - 1; i >= 0; i-- {
		b[i] = digits[n&0xF]
		n >>= 4
	}
}

// next appends what c sends next.
func (c *client) next(b []byte) []byte {
	if c.asks != nil {
		return c.asks.append(b, c.sent)
	}
	return c.message.append(b, packetID(c.sent))
}

// answered takes an answer of the server: requests of a connection are answered
// in their order.
func (e *engine) answered(c *client, packet []byte) {
	var number [numberSize]byte
	putNumber(number[:], c.acked)
	c.acked++
	topic, _, err := splitPublish(packet)
	rid, ok := []byte(nil), false
	if err == nil && c.asks != nil {
		rid, ok = bytes.CutPrefix(topic, c.asks.answer)
	}
	switch {
	case !ok:
		e.out.Refused++
		e.out.Refusal = string(topic)
	case !bytes.HasPrefix(rid, number[:]):
		e.out.Disorder++
	}
}

// delivered takes a cloud-to-device message, whose body begins with its number
// in the queue, and makes its PUBACK.
func (e *engine) delivered(c *client, packet []byte) error {
	_, rest, err := splitPublish(packet)
	if err != nil || len(rest) < 2+numberSize {
		return errors.Join(err, fmt.Errorf("unexpected packet %x", packet))
	}
	var number [numberSize]byte
	putNumber(number[:], c.acked)
	if packet[0]&flagDup != 0 || !bytes.HasPrefix(rest[2:], number[:]) {
		e.out.Disorder++
	}
	c.acked++
	c.reply = append(c.reply, typePuback, 2, rest[0], rest[1])
	return nil
}

// splitPublish parts the topic of a PUBLISH from what follows it.
func splitPublish(packet []byte) (topic, rest []byte, err error) {
	at := 1
	for at < len(packet) && packet[at] >= 0x80 {
		at++
	}
	if at++; len(packet) < at+2 {
		return nil, nil, fmt.Errorf("PUBLISH ends early: %x", packet)
	}
	size := int(binary.BigEndian.Uint16(packet[at:]))
	if at += 2; len(packet) < at+size {
		return nil, nil, fmt.Errorf("PUBLISH ends in its topic: %x", packet)
	}
	return packet[at : at+size], packet[at+size:], nil
}

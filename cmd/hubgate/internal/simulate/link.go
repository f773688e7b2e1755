package simulate

import (
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

const (
	firstBuffer  = 512     // of what is read: nearly all that a hub sends is less
	keepBuffer   = 4 << 10 // a larger one is given back when it is empty
	largestInput = 1 << 20
	writeTimeout = 30 * time.Second
)

// link is one connection of a device: MQTT over a [carrier].
type link struct {
	carrier

	dec      mqtt.Decoder
	buf      []byte
	from, to int // what is read and not decoded
}

func newLink(c carrier) *link {
	return &link{carrier: c, buf: make([]byte, firstBuffer), dec: mqtt.Decoder{
		Version: mqtt.V311, From: mqtt.FromServer, LenientTopics: true, MaxPacket: largestInput,
	}}
}

// receive returns the next packet, which is valid until the next call.
func (l *link) receive() (mqtt.Packet, error) {
	for {
		size, err := l.dec.Frame(l.buf[l.from:l.to])
		if err != nil {
			return nil, err
		}
		if size > 0 && size <= l.to-l.from {
			packet := l.buf[l.from : l.from+size]
			l.from += size
			return l.dec.Decode(packet)
		}
		l.makeRoom(size)
		n, err := l.conn.Read(l.buf[l.to:])
		l.to += n
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// makeRoom makes room for a packet of that size, or for more of one whose size
// is not known yet.
func (l *link) makeRoom(size int) {
	rest := l.buf[l.from:l.to]
	switch {
	case size > len(l.buf):
		l.buf = append(make([]byte, 0, size), rest...)[:size]
	case len(rest) == 0 && len(l.buf) > keepBuffer:
		l.buf = make([]byte, firstBuffer)
	default:
		copy(l.buf, rest)
	}
	l.from, l.to = 0, len(rest)
}

// write sends b, and fails when the hub takes nothing for long.
func (l *link) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := l.conn.Write(b)
	return err
}

// send encodes and sends a packet.
func (l *link) send(p mqtt.Packet) error {
	b, err := p.Append(nil, mqtt.V311)
	if err != nil {
		return err
	}
	return l.write(b)
}

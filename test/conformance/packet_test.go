package conformance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// packet is one MQTT 3.1.1 packet in the form in which transcripts write it: a
// name and fields in order. It is deliberately apart from gateway/mqtt: a mistake
// there must not hide itself here.
type packet struct {
	name   string
	fields []field
}

type field struct{ key, value string }

// packetNames are the names by packet type.
var packetNames = []string{
	"", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT",
}

// readPacket reads one whole packet.
func readPacket(r io.ByteReader) ([]byte, error) {
	first, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	raw, length := []byte{first}, 0
	for shift := 0; ; shift += 7 {
		c, err := r.ReadByte()
		if err != nil || shift > 21 {
			return nil, fmt.Errorf("remaining length: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
		raw = append(raw, c)
		length |= int(c&0x7F) << shift
		if c < 0x80 {
			break
		}
	}
	for range length {
		c, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		raw = append(raw, c)
	}
	return raw, nil
}

// decode reads the fields of a whole packet.
func decode(raw []byte) packet {
	at := 2
	for raw[at-1] >= 0x80 {
		at++
	}
	b := body311{rest: raw[at:]}
	kind, flags := raw[0]>>4, raw[0]&0x0F
	p := packet{name: "?" + strconv.Itoa(int(kind))}
	if int(kind) < len(packetNames) {
		p.name = packetNames[kind]
	}
	switch p.name {
	case "CONNECT":
		p.connect(&b)
	case "CONNACK":
		present := b.number(1)
		p.add("code", b.number(1))
		p.add("present", present)
	case "PUBLISH":
		p.publish(&b, flags)
	case "PUBACK", "UNSUBACK":
		p.add("id", b.number(2))
	case "SUBSCRIBE":
		p.add("id", b.number(2))
		for len(b.rest) > 0 {
			p.add("filter", strconv.Quote(b.text()))
			p.add("qos", b.number(1))
		}
	case "SUBACK":
		p.add("id", b.number(2))
		for len(b.rest) > 0 {
			p.add("granted", b.number(1))
		}
	}
	if b.short {
		p.add("truncated", 1)
	}
	return p
}

func (p *packet) connect(b *body311) {
	p.add("protocol", strconv.Quote(b.text()))
	p.add("level", b.number(1))
	flags := b.number(1)
	keepAlive := b.number(2)
	p.add("id", strconv.Quote(b.text()))
	if flags&0x80 != 0 {
		p.add("user", strconv.Quote(b.text()))
	}
	if flags&0x40 != 0 {
		p.add("password", strconv.Quote(b.text()))
	}
	p.add("keepalive", keepAlive)
	p.add("clean", flags>>1&1)
	if rest := flags & 0x3D; rest != 0 {
		p.add("otherflags", rest) // a will: no SDK here sends one
	}
}

func (p *packet) publish(b *body311, flags byte) {
	topic := b.text()
	p.add("qos", int(flags>>1&3))
	p.add("dup", int(flags>>3))
	p.add("retain", int(flags&1))
	if flags&6 != 0 {
		p.add("id", b.number(2))
	}
	p.add("topic", strconv.Quote(topic))
	p.add("payload", strconv.Quote(string(b.rest)))
}

func (p *packet) add(key string, value any) {
	p.fields = append(p.fields, field{key, fmt.Sprint(value)})
}

// get returns the first field of a name, unquoted.
func (p packet) get(key string) string {
	for _, f := range p.fields {
		if f.key == key {
			return unquote(f.value)
		}
	}
	return ""
}

func (p packet) num(key string) int {
	n, _ := strconv.Atoi(p.get(key))
	return n
}

func unquote(s string) string {
	if text, err := strconv.Unquote(s); err == nil {
		return text
	}
	return s
}

// String writes the packet as a transcript does.
func (p packet) String() string {
	var b strings.Builder
	b.WriteString(p.name)
	for _, f := range p.fields {
		b.WriteString(" " + f.key + "=" + f.value)
	}
	return b.String()
}

// parse reads what String writes.
func parse(line string) (packet, error) {
	name, rest, _ := strings.Cut(line, " ")
	p := packet{name: name}
	for rest != "" {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			return p, fmt.Errorf("no = in %q", rest)
		}
		value, err := strconv.QuotedPrefix(after)
		if err != nil {
			value, _, _ = strings.Cut(after, " ")
		}
		p.fields = append(p.fields, field{key, value})
		rest = strings.TrimPrefix(after[len(value):], " ")
	}
	return p, nil
}

// encode writes the packet's bytes: what decode reads. Only what clients send.
func (p packet) encode() ([]byte, error) {
	kind := slices.Index(packetNames, p.name)
	var b []byte
	flags := 0
	switch p.name {
	case "CONNECT":
		b = appendText(b, p.get("protocol"))
		b = append(b, byte(p.num("level")), byte(p.num("clean")<<1|p.has("user")<<7|p.has("password")<<6))
		b = binary.BigEndian.AppendUint16(b, uint16(p.num("keepalive")))
		for _, key := range []string{"id", "user", "password"} {
			if p.has(key) == 1 {
				b = appendText(b, p.get(key))
			}
		}
	case "PUBLISH":
		flags = p.num("dup")<<3 | p.num("qos")<<1 | p.num("retain")
		b = appendText(b, p.get("topic"))
		if p.num("qos") > 0 {
			b = binary.BigEndian.AppendUint16(b, uint16(p.num("id")))
		}
		b = append(b, p.get("payload")...)
	case "SUBSCRIBE":
		flags = 2
		b = binary.BigEndian.AppendUint16(b, uint16(p.num("id")))
		for _, f := range p.fields {
			switch f.key {
			case "filter":
				b = appendText(b, unquote(f.value))
			case "qos":
				n, _ := strconv.Atoi(f.value)
				b = append(b, byte(n))
			}
		}
	case "PUBACK":
		b = binary.BigEndian.AppendUint16(b, uint16(p.num("id")))
	case "PINGREQ", "DISCONNECT":
	default:
		return nil, fmt.Errorf("a client never sends %s here", p.name)
	}
	head := []byte{byte(kind<<4 | flags)}
	return append(binary.AppendUvarint(head, uint64(len(b))), b...), nil
}

func (p packet) has(key string) int {
	if slices.ContainsFunc(p.fields, func(f field) bool { return f.key == key }) {
		return 1
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// body311 reads the body of a packet.
type body311 struct {
	rest  []byte
	short bool // it ended too early
}

func (b *body311) take(n int) []byte {
	if n > len(b.rest) {
		b.short = true
		b.rest = nil
		return make([]byte, n)
	}
	head := b.rest[:n]
	b.rest = b.rest[n:]
	return head
}

func (b *body311) number(size int) int {
	n := 0
	for _, c := range b.take(size) {
		n = n<<8 | int(c)
	}
	return n
}

func (b *body311) text() string {
	return string(b.take(b.number(2)))
}

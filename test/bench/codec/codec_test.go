package codec

import (
	"bytes"
	"fmt"
	"testing"

	paho5 "github.com/eclipse/paho.golang/packets"
	paho3 "github.com/eclipse/paho.mqtt.golang/packets"
	mochi "github.com/mochi-mqtt/server/v2/packets"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// codec is a library under measurement. Each function makes what runs once per
// operation, or nil where the library does not speak the version.
type codec struct {
	name   string
	decode func(s sample) func() error
	encode func(s sample) func() ([]byte, error)
}

func codecs() []codec {
	return []codec{
		{"hubgate", hubgateDecode, hubgateEncode},
		{"paho3", paho3Decode, paho3Encode},
		{"paho5", paho5Decode, paho5Encode},
		{"mochi", mochiDecode, mochiEncode},
	}
}

func hubgateDecode(s sample) func() error {
	var d mqtt.Decoder
	version := s.v
	if s.packet.Type() == mqtt.TypeConnect {
		version = 0
	}
	return func() error {
		d.Version = version
		n, err := d.Frame(s.wire)
		if err != nil {
			return err
		}
		_, err = d.Decode(s.wire[:n])
		return err
	}
}

func hubgateEncode(s sample) func() ([]byte, error) {
	b := make([]byte, 0, 2*len(s.wire))
	return func() ([]byte, error) { return s.packet.Append(b, s.v) }
}

func paho3Decode(s sample) func() error {
	if s.v != mqtt.V311 {
		return nil
	}
	var r bytes.Reader
	return func() error {
		r.Reset(s.wire)
		_, err := paho3.ReadPacket(&r)
		return err
	}
}

func paho3Encode(s sample) func() ([]byte, error) {
	if s.v != mqtt.V311 {
		return nil
	}
	p, err := paho3.ReadPacket(bytes.NewReader(s.wire))
	if err != nil {
		panic(err)
	}
	var w bytes.Buffer
	return func() ([]byte, error) {
		w.Reset()
		err := p.Write(&w)
		return w.Bytes(), err
	}
}

func paho5Decode(s sample) func() error {
	if s.v != mqtt.V5 {
		return nil
	}
	var r bytes.Reader
	return func() error {
		r.Reset(s.wire)
		_, err := paho5.ReadPacket(&r)
		return err
	}
}

func paho5Encode(s sample) func() ([]byte, error) {
	if s.v != mqtt.V5 {
		return nil
	}
	p, err := paho5.ReadPacket(bytes.NewReader(s.wire))
	if err != nil {
		panic(err)
	}
	var w bytes.Buffer
	return func() ([]byte, error) {
		w.Reset()
		_, err := p.WriteTo(&w)
		return w.Bytes(), err
	}
}

// mochiDecode reads as mochi's server does: the body comes in a fresh slice,
// and a packet is made of a copy of it.
func mochiDecode(s sample) func() error {
	return func() error {
		_, err := mochiPacket(s)
		return err
	}
}

func mochiPacket(s sample) (mochi.Packet, error) {
	var p mochi.Packet
	p.ProtocolVersion = byte(s.v)
	if err := p.FixedHeader.Decode(s.wire[0]); err != nil {
		return p, err
	}
	r := bytes.NewReader(s.wire[1:])
	n, size, err := mochi.DecodeLength(r)
	if err != nil {
		return p, err
	}
	p.FixedHeader.Remaining = n
	read := append([]byte{}, s.wire[1+size:]...)
	body := append([]byte{}, read...)
	switch p.FixedHeader.Type {
	case mochi.Connect:
		err = p.ConnectDecode(body)
	case mochi.Publish:
		err = p.PublishDecode(body)
	case mochi.Puback:
		err = p.PubackDecode(body)
	case mochi.Subscribe:
		err = p.SubscribeDecode(body)
	default:
		err = fmt.Errorf("no mochi decoder for type %d", p.FixedHeader.Type)
	}
	return p, err
}

func mochiEncode(s sample) func() ([]byte, error) {
	p, err := mochiPacket(s)
	if err != nil {
		panic(err)
	}
	var w bytes.Buffer
	return func() ([]byte, error) {
		w.Reset()
		var err error
		switch p.FixedHeader.Type {
		case mochi.Connect:
			err = p.ConnectEncode(&w)
		case mochi.Publish:
			err = p.PublishEncode(&w)
		case mochi.Puback:
			err = p.PubackEncode(&w)
		default:
			err = p.SubscribeEncode(&w)
		}
		return w.Bytes(), err
	}
}

// TestSameBytes shows that all codecs do the same work: each writes the bytes
// that it was given to read. mochi orders properties in its own way, and
// paho.golang writes the long form of PUBACK, so there only the type counts.
func TestSameBytes(t *testing.T) {
	for _, c := range codecs() {
		for _, s := range samples() {
			t.Run(c.name+"/"+s.name, func(t *testing.T) {
				encode := c.encode(s)
				if encode == nil {
					return
				}
				got, err := encode()
				if err != nil {
					t.Fatal(err)
				}
				free := s.name == "PUBLISH/5+4props" || s.name == "PUBACK/5"
				if !bytes.Equal(got, s.wire) && !(free && got[0] == s.wire[0]) {
					t.Errorf("got  % x\nwant % x", got, s.wire)
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, s := range samples() {
		for _, c := range codecs() {
			decode := c.decode(s)
			if decode == nil {
				continue
			}
			b.Run(s.name+"/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := decode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, s := range samples() {
		for _, c := range codecs() {
			encode := c.encode(s)
			if encode == nil {
				continue
			}
			b.Run(s.name+"/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := encode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

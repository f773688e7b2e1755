package mqtt_test

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// TestDecoderSize keeps the pooled Decoder small beside its 16 KiB buffer.
func TestDecoderSize(t *testing.T) {
	if got, limit := unsafe.Sizeof(mqtt.Decoder{}), uintptr(1024); got > limit {
		t.Errorf("a Decoder has %d bytes, more than %d", got, limit)
	}
}

func TestFrame(t *testing.T) {
	cases := map[string]struct {
		b    []byte
		want int
	}{
		"nothing":                {nil, 0},
		"first byte":             {[]byte{0x30}, 0},
		"half a length":          {[]byte{0x30, 0x80}, 0},
		"three of four bytes":    {[]byte{0x30, 0xFF, 0xFF, 0xFF}, 0},
		"empty packet":           {[]byte{0xC0, 0}, 2},
		"body to come":           {[]byte{0x30, 5}, 7},
		"body half there":        {[]byte{0x30, 5, 0, 1}, 7},
		"two bytes of length":    {[]byte{0x30, 0x80, 1}, 131},
		"three bytes of length":  {[]byte{0x30, 0xFF, 0xFF, 0x7F}, 2097151 + 4},
		"the largest packet":     {[]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F}, 268435455 + 5},
		"more than one packet":   {[]byte{0xC0, 0, 0xC0, 0}, 2},
		"non-shortest in 3.1.1":  {[]byte{0x30, 0x85, 0x80, 0}, 4 + 5},
		"PUBACK, body to come":   {[]byte{0x40, 2}, 4},
		"DISCONNECT, first byte": {[]byte{0xE0}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := mqtt.Decoder{Version: v3}
			got, err := d.Frame(c.b)
			if err != nil || got != c.want {
				t.Errorf("got %d, %v, want %d", got, err, c.want)
			}
		})
	}
}

// TestFrameRefuses shows that no more bytes are awaited than are needed to see
// that a packet is wrong.
func TestFrameRefuses(t *testing.T) {
	cases := map[string]struct {
		d      mqtt.Decoder
		b      []byte
		reason mqtt.Reason
	}{
		"[MQTT3-2.2.1] reserved type":               {mqtt.Decoder{Version: v3}, []byte{0x00}, malformed},
		"[MQTT3-2.2.1] AUTH in 3.1.1":               {mqtt.Decoder{Version: v3}, []byte{0xF0}, malformed},
		"[MQTT3-2.2.1] AUTH in 3.1":                 {mqtt.Decoder{Version: mqtt.V31}, []byte{0xF0}, malformed},
		"[MQTT3-3.8.1-1] flags":                     {mqtt.Decoder{Version: v3}, []byte{0x80}, malformed},
		"[MQTT3-3.3.1-4] QoS 3":                     {mqtt.Decoder{Version: v3}, []byte{0x36}, malformed},
		"[MQTT3-3.1.0-1] [MQTT5-3.1.0-1] not first": {mqtt.Decoder{}, []byte{0x30}, protocol},
		"[MQTT3-3.1.0-1] type 15 first":             {mqtt.Decoder{}, []byte{0xF0}, protocol},
		"[MQTT3-2.2.2-2] [MQTT5-2.1.3-1] TLS":       {mqtt.Decoder{}, []byte{0x16}, malformed},
		"[MQTT3-3.1.0-1] unknown version is none":   {mqtt.Decoder{Version: 9}, []byte{0xC0}, protocol},
		"[MQTT3-3.1.0-2] second CONNECT":            {mqtt.Decoder{Version: v3}, []byte{0x10}, protocol},
		"[MQTT5-3.1.0-2] second CONNECT":            {mqtt.Decoder{Version: mqtt.V5}, []byte{0x10}, protocol},
		"[MQTT5-4.13.1-1] CONNACK of a client":      {mqtt.Decoder{Version: mqtt.V5, From: mqtt.FromClient}, []byte{0x20}, protocol},
		"[MQTT3-2.2.3] length of five bytes":        {mqtt.Decoder{Version: v3}, []byte{0x30, 0x80, 0x80, 0x80, 0x80}, malformed},
		"[MQTT5-1.5.5-1] non-shortest length":       {mqtt.Decoder{Version: mqtt.V5}, []byte{0x30, 0x80, 0}, malformed},
		"[MQTT3-4.8.0-1] PINGREQ with a body":       {mqtt.Decoder{Version: v3}, []byte{0xC0, 1}, malformed},
		"[MQTT3-4.8.0-1] PUBACK of 3 bytes":         {mqtt.Decoder{Version: v3}, []byte{0x40, 3}, malformed},
		"[MQTT3-4.8.0-1] above the limit":           {mqtt.Decoder{Version: v3, MaxPacket: 100}, []byte{0x30, 99}, mqtt.ReasonPacketTooLarge},
		"[MQTT5-3.2.2-15] above the server's limit": {mqtt.Decoder{Version: mqtt.V5, From: mqtt.FromClient, MaxPacket: 256 << 10}, []byte{0x30, 0xFF, 0xFF, 0x7F}, mqtt.ReasonPacketTooLarge},
		"[MQTT5-3.1.2-24] above the client's limit": {mqtt.Decoder{Version: mqtt.V5, From: mqtt.FromServer, MaxPacket: 100}, []byte{0x30, 99}, mqtt.ReasonPacketTooLarge},
		"[MQTT3-4.8.0-1] CONNECT above the limit":   {mqtt.Decoder{MaxPacket: 100}, []byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F}, mqtt.ReasonPacketTooLarge},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			size, err := c.d.Frame(exactly(c.b))
			if size != 0 {
				t.Errorf("got size %d with an error, want 0", size)
			}
			wantError(t, err, name, c.reason)
		})
	}
}

func TestFrameAtLimit(t *testing.T) {
	d := mqtt.Decoder{Version: v3, MaxPacket: 100}
	if got, err := d.Frame([]byte{0x30, 98}); got != 100 || err != nil {
		t.Errorf("got %d, %v, want 100", got, err)
	}
}

// TestVersion shows what the caller learns from a CONNECT, good or bad.
func TestVersion(t *testing.T) {
	cases := map[string]struct {
		b       []byte
		version mqtt.Version
		level   byte
		err     error
	}{
		"3.1":                      {wire(0x10, str("MQIsdp"), 3, 2, num(0), str("c")), mqtt.V31, 0, nil},
		"3.1.1":                    {connect3(2, str("c")), mqtt.V311, 0, nil},
		"5":                        {connect5(2, none(), str("c")), mqtt.V5, 0, nil},
		"malformed 3.1.1":          {connect3(3, str("c")), mqtt.V311, 0, mqtt.ErrMalformed},
		"malformed 5":              {connect5(2, none()), mqtt.V5, 0, mqtt.ErrMalformed},
		"level 2":                  {wire(0x10, str("MQTT"), 2, 2, num(0), str("c")), 0, 2, mqtt.ErrUnsupportedVersion},
		"level 6":                  {wire(0x10, str("MQTT"), 6, 2, num(0), str("c")), 0, 6, mqtt.ErrUnsupportedVersion},
		"level 3 under a new name": {wire(0x10, str("MQTT"), 3, 2, num(0), str("c")), 0, 3, mqtt.ErrUnsupportedVersion},
		"other name":               {wire(0x10, str("AMQP"), 5, 2, num(0), str("c")), 0, 5, mqtt.ErrUnsupportedVersion},
		"other name, no level":     {wire(0x10, str("AMQP")), 0, 0, mqtt.ErrUnsupportedVersion},
		"no name":                  {wire(0x10, num(4)), 0, 0, mqtt.ErrMalformed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var d mqtt.Decoder
			_, err := d.Decode(c.b)
			if !errors.Is(err, c.err) {
				t.Errorf("got error %v, want %v", err, c.err)
			}
			if d.Version != c.version {
				t.Errorf("got version %v, want %v", d.Version, c.version)
			}
			if e, ok := errors.AsType[*mqtt.Error](err); ok && e.Level != c.level {
				t.Errorf("got level %d, want %d", e.Level, c.level)
			}
		})
	}
}

// TestVersion31 is the framing that only MQTT 3.1 has.
func TestVersion31(t *testing.T) {
	head := []any{str("MQIsdp"), 3}
	accept := map[string]struct {
		v    mqtt.Version
		wire []byte
		want mqtt.Packet
	}{
		"user name and password flags without either": {
			0, wire(0x10, cat(head...), 0xC0, num(0), str("c")), &mqtt.Connect{Version: mqtt.V31, ClientID: []byte("c")},
		},
		"password flag without password": {
			0, wire(0x10, cat(head...), 0xC0, num(0), str("c"), str("u")),
			&mqtt.Connect{Version: mqtt.V31, ClientID: []byte("c"), HasUsername: true, Username: []byte("u")},
		},
		"24 characters of client id, for others to judge": {
			0, wire(0x10, cat(head...), 0, num(0), str("0123456789abcdefghijklmn")),
			&mqtt.Connect{Version: mqtt.V31, ClientID: []byte("0123456789abcdefghijklmn")},
		},
		"SUBSCRIBE again":   {mqtt.V31, wire(0x8A, num(1), str("a"), 1), &mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{Topic: []byte("a"), QoS: 1}}}},
		"UNSUBSCRIBE again": {mqtt.V31, wire(0xAA, num(1), str("a")), &mqtt.Unsubscribe{ID: 1, Filters: [][]byte{[]byte("a")}}},
		"PUBREL again":      {mqtt.V31, wire(0x6A, num(1)), &mqtt.Pubrel{ID: 1}},
	}
	for name, c := range accept {
		t.Run(name, func(t *testing.T) {
			got, err := decode(c.v, mqtt.FromAnyone, c.wire)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
	refuse(t, mqtt.V31, map[string]refusal{
		"[MQTT3-3.2.2.1] session present":           {wire: wire(0x20, 1, 0), reason: malformed},
		"[MQTT3-3.1.2-22] password alone":           {wire: wire(0x10, cat(head...), 0x40, num(0), str("c"), str("p")), reason: malformed},
		"[MQTT3-3.1.2-19] half a user name":         {wire: wire(0x10, cat(head...), 0x80, num(0), str("c"), 0), reason: malformed},
		"[MQTT3-2.2.2-2] PUBACK again":              {wire: wire(0x48, num(1)), reason: malformed},
		"[MQTT3-3.6.1-1] PUBREL with QoS 1, retain": {wire: wire(0x63, num(1)), reason: malformed},
	})
}

// TestLenient is what the IoT Hub face tolerates, and nothing more.
func TestLenient(t *testing.T) {
	publish := func(topic string) []byte { return wire(0x30, str(topic), "p") }
	subscribe := func(filter string) []byte { return wire(0x82, num(1), str(filter), 0) }
	cases := map[string]struct {
		d  mqtt.Decoder
		b  []byte
		ok bool
	}{
		"topic with '+'":          {mqtt.Decoder{Version: v3, LenientTopics: true}, publish("devices/d/messages/events/a=1+1&b=#"), true},
		"short topic with '#'":    {mqtt.Decoder{Version: v3, LenientTopics: true}, publish("#"), true},
		"topic of MQTT 5":         {mqtt.Decoder{Version: mqtt.V5, LenientTopics: true}, wire(0x30, str("a+"), 0), true},
		"will topic":              {mqtt.Decoder{LenientTopics: true}, connect3(0x06, str("c"), str("w/+"), str("p")), true},
		"empty topic":             {mqtt.Decoder{Version: v3, LenientTopics: true}, publish(""), false},
		"topic with NUL":          {mqtt.Decoder{Version: v3, LenientTopics: true}, publish("+\x00"), false},
		"topic is not UTF-8":      {mqtt.Decoder{Version: v3, LenientTopics: true}, publish("+\xff"), false},
		"will topic is empty":     {mqtt.Decoder{LenientTopics: true}, connect3(0x06, str("c"), str(""), str("p")), false},
		"response topic":          {mqtt.Decoder{Version: mqtt.V5, LenientTopics: true}, wire(0x30, str("t"), props(8, str("+"))), false},
		"filter, lenient topics":  {mqtt.Decoder{Version: v3, LenientTopics: true}, subscribe("a+"), false},
		"filter with '#' inside":  {mqtt.Decoder{Version: v3, LenientFilters: true}, subscribe("devices/a#1/messages/devicebound/#"), true},
		"filter with '+' inside":  {mqtt.Decoder{Version: v3, LenientFilters: true}, subscribe("devices/a+1/messages/devicebound/#"), true},
		"filter of UNSUBSCRIBE":   {mqtt.Decoder{Version: v3, LenientFilters: true}, wire(0xA2, num(1), str("a+1")), true},
		"empty filter":            {mqtt.Decoder{Version: v3, LenientFilters: true}, subscribe(""), false},
		"filter with NUL":         {mqtt.Decoder{Version: v3, LenientFilters: true}, subscribe("a#\x00"), false},
		"filter is not UTF-8":     {mqtt.Decoder{Version: v3, LenientFilters: true}, subscribe("a#\xff"), false},
		"share name":              {mqtt.Decoder{Version: mqtt.V5, LenientFilters: true}, wire(0x82, num(1), 0, str("$share/+/a"), 0), false},
		"topic, lenient filters":  {mqtt.Decoder{Version: v3, LenientFilters: true}, publish("a+"), false},
		"strict topic with '+'":   {mqtt.Decoder{Version: v3}, publish("a+"), false},
		"strict filter with 'a#'": {mqtt.Decoder{Version: v3}, subscribe("a#"), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := c.d.Decode(exactly(c.b))
			if ok := err == nil; ok != c.ok {
				t.Fatalf("got %+v, %v, want accepted %v", p, err, c.ok)
			}
			if err != nil {
				return
			}
			got, err := p.Append(nil, c.d.Version)
			if err != nil || !bytes.Equal(got, c.b) {
				t.Errorf("written back: got % x, %v, want % x", got, err, c.b)
			}
		})
	}
}

// TestViewOfCodes is TestViews for the codes of SUBACK.
func TestViewOfCodes(t *testing.T) {
	b := append(wire(0x90, num(1), 0, 1), "next packet"...)
	d := mqtt.Decoder{Version: v3}
	got, err := d.Decode(b[:6])
	if err != nil {
		t.Fatal(err)
	}
	_ = append(got.(*mqtt.Suback).Codes, "xxxx"...)
	if string(b[6:]) != "next packet" {
		t.Errorf("appending to the codes wrote % x behind them", b[6:])
	}
}

// TestReset keeps what is configured and forgets what was read.
func TestReset(t *testing.T) {
	d := mqtt.Decoder{From: mqtt.FromClient, LenientTopics: true, LenientFilters: true, MaxPacket: 1000}
	if _, err := d.Decode(connect5(2, none(), str("c"))); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decode(wire(0x82, num(1), 0, str("a"), 0)); err != nil {
		t.Fatal(err)
	}
	d.Reset()
	if d.Version != 0 || d.From != mqtt.FromClient || !d.LenientTopics || !d.LenientFilters || d.MaxPacket != 1000 {
		t.Errorf("got %+v, want no version and all settings", d)
	}
	if _, err := d.Decode(connect3(2, str("c"))); err != nil || d.Version != v3 {
		t.Errorf("got version %v, %v, want %v", d.Version, err, v3)
	}
}

// TestViews shows that packets point into the bytes, and can't be made to write
// there by appending to them, not even behind the packet.
func TestViews(t *testing.T) {
	b := wire(0x32, str("topic"), num(1), "payload")
	n := len(b)
	b = append(b, "next packet"...)
	d := mqtt.Decoder{Version: v3}
	got, err := d.Decode(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	p := got.(*mqtt.Publish)
	if &p.Topic[0] != &b[4] || &p.Payload[0] != &b[11] {
		t.Error("the packet does not point into the bytes")
	}
	_ = append(p.Topic, "xxxx"...)
	_ = append(p.Payload, "xxxx"...)
	if string(b[9:]) != "\x00\x01payloadnext packet" {
		t.Errorf("appending to the packet's parts wrote % x behind them", b[9:])
	}
}

// TestManyFilters decodes a packet with as many filters as fit, and shows that
// the room for them is a small multiple of its bytes, and is not kept.
func TestManyFilters(t *testing.T) {
	const count = 10000
	d := mqtt.Decoder{Version: v3}
	subscribe := wire(0x82, num(1), bytes.Repeat([]byte("\x00\x01a\x00"), count))
	unsubscribe := wire(0xA2, num(1), bytes.Repeat([]byte("\x00\x01a"), count))
	for range 2 {
		p, err := d.Decode(subscribe)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.(*mqtt.Subscribe).Filters; len(got) != count || cap(got) > count*5/4 {
			t.Errorf("got %d filters and room for %d, want %d", len(got), cap(got), count)
		}
		if p, err = d.Decode(unsubscribe); err != nil {
			t.Fatal(err)
		}
		if got := p.(*mqtt.Unsubscribe).Filters; len(got) != count || cap(got) > count*5/4 {
			t.Errorf("got %d filters and room for %d, want %d", len(got), cap(got), count)
		}
		d.Reset()
		d.Version = v3
	}
	d.Reset()
	d.Version = v3
	p, err := d.Decode(wire(0x82, num(1), str("a"), 0))
	if err != nil {
		t.Fatal(err)
	}
	if got := cap(p.(*mqtt.Subscribe).Filters); got > math.MaxUint8 {
		t.Errorf("room for %d filters was kept", got)
	}
}

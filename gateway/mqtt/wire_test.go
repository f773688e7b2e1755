package mqtt_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// wire puts a packet together by hand: its first byte, its remaining length in
// the shortest form, and its body. The tests do not trust the encoder.
func wire(first byte, parts ...any) []byte {
	body := cat(parts...)
	b := append([]byte{first}, vbi(len(body))...)
	return append(b, body...)
}

// cat joins bytes (int), raw strings and byte slices.
func cat(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch x := part.(type) {
		case int:
			b = append(b, byte(x))
		case string:
			b = append(b, x...)
		case []byte:
			b = append(b, x...)
		default:
			panic(fmt.Sprintf("no wire form of %T", part))
		}
	}
	return b
}

// vbi is a variable byte integer.
func vbi(n int) []byte {
	var b []byte
	for n >= 128 {
		b = append(b, byte(n%128+128))
		n /= 128
	}
	return append(b, byte(n))
}

// str is a string behind its length.
func str(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// num is a two-byte integer.
func num(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// props is a property section.
func props(parts ...any) []byte {
	b := cat(parts...)
	return append(vbi(len(b)), b...)
}

// connect3 is a CONNECT of MQTT 3.1.1.
func connect3(flags int, payload ...any) []byte {
	return wire(0x10, str("MQTT"), 4, flags, num(60), cat(payload...))
}

// connect5 is a CONNECT of MQTT 5.
func connect5(flags int, properties []byte, payload ...any) []byte {
	return wire(0x10, str("MQTT"), 5, flags, num(60), properties, cat(payload...))
}

// none is an empty property section.
func none() []byte { return []byte{0} }

// decode decodes the packet of a sender in a version.
func decode(v mqtt.Version, from mqtt.Sender, b []byte) (mqtt.Packet, error) {
	d := mqtt.Decoder{Version: v, From: from}
	return d.Decode(exactly(b))
}

// exactly is b in a slice that panics when somebody reads or writes behind it.
func exactly(b []byte) []byte { return slices.Clip(slices.Clone(b)) }

// ids are the statements in the name of a test.
func ids(name string) []string {
	var ids []string
	for s := range strings.FieldsSeq(name) {
		if strings.HasPrefix(s, "[MQTT") {
			ids = append(ids, strings.Trim(s, "[]"))
		}
	}
	return ids
}

// wantError checks that err is an *mqtt.Error of reason that names every
// statement of the test's name.
func wantError(t *testing.T, err error, name string, reason mqtt.Reason) {
	t.Helper()
	broken, ok := errors.AsType[*mqtt.Error](err)
	if !ok {
		t.Fatalf("got error %v, want an *mqtt.Error", err)
	}
	if broken.Reason != reason {
		t.Errorf("%v: got reason %v, want %v", err, broken.Reason, reason)
	}
	if len(ids(name)) == 0 {
		t.Errorf("test %q names no statement", name)
	}
	for _, id := range ids(name) {
		if !slices.Contains(strings.Fields(broken.Rule), id) {
			t.Errorf("%v: got rule %q, want %q in it", err, broken.Rule, id)
		}
	}
	if kind := kindOf(reason); !errors.Is(err, kind) {
		t.Errorf("%v is not %v", err, kind)
	}
	if broken.Text == "" || strings.TrimSpace(broken.Rule) != broken.Rule {
		t.Errorf("got text %q and rule %q, want both, and no space around", broken.Text, broken.Rule)
	}
}

// kindOf is what errors.Is finds for a reason.
func kindOf(r mqtt.Reason) error {
	switch r {
	case mqtt.ReasonPacketTooLarge:
		return mqtt.ErrTooLarge
	case mqtt.ReasonUnsupportedVersion:
		return mqtt.ErrUnsupportedVersion
	default:
		return mqtt.ErrMalformed
	}
}

const (
	malformed = mqtt.ReasonMalformedPacket
	protocol  = mqtt.ReasonProtocolError
	badTopic  = mqtt.ReasonTopicNameInvalid
	badFilter = mqtt.ReasonTopicFilterInvalid
)

// refusal is a packet that breaks the statements in its name.
type refusal struct {
	wire   []byte
	reason mqtt.Reason
	from   mqtt.Sender
}

// refuse decodes each packet and checks that it is refused by its statement.
func refuse(t *testing.T, v mqtt.Version, cases map[string]refusal) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := v
			if c.wire[0]>>4 == byte(mqtt.TypeConnect) && !strings.Contains(name, "3.1.0-2") || strings.Contains(name, "3.1.0-1") {
				v = 0
			}
			p, err := decode(v, c.from, c.wire)
			if err == nil {
				t.Fatalf("% x was decoded as %+v", c.wire, p)
			}
			wantError(t, err, name, c.reason)
		})
	}
}

package mqtt_test

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// golden is a packet and the bytes that are it, in both directions.
type golden struct {
	v      mqtt.Version
	packet mqtt.Packet
	wire   []byte
}

// properties builds Properties in a row.
func properties(set ...func(*mqtt.Properties)) mqtt.Properties {
	var p mqtt.Properties
	for _, f := range set {
		f(&p)
	}
	return p
}

func number(id mqtt.Property, x uint32) func(*mqtt.Properties) {
	return func(p *mqtt.Properties) { p.SetNumber(id, x) }
}

func text(id mqtt.Property, x string) func(*mqtt.Properties) {
	return func(p *mqtt.Properties) { p.SetBytes(id, []byte(x)) }
}

func user(name, value string) func(*mqtt.Properties) {
	return func(p *mqtt.Properties) { p.AddUser([]byte(name), []byte(value)) }
}

func subscriptionID(x uint32) func(*mqtt.Properties) {
	return func(p *mqtt.Properties) { p.AddSubscriptionID(x) }
}

// goldens are the packets of every kind.
func goldens() map[string]golden {
	all := goldenConnects()
	for _, more := range []map[string]golden{goldenPublishes(), goldenAcks(), goldenSubscribes(), goldenRest()} {
		maps.Copy(all, more)
	}
	return all
}

func goldenConnects() map[string]golden {
	return map[string]golden{
		"[MQTT3-3.1.3-1] CONNECT fields in order": {v3, &mqtt.Connect{
			Version: v3, CleanStart: true, HasUsername: true, HasPassword: true, KeepAlive: 60,
			ClientID: []byte("c"), Username: []byte("u"), Password: []byte("\x00\xff"),
			Will: &mqtt.Will{QoS: 1, Retain: true, Topic: []byte("w"), Payload: []byte("p")},
		}, connect3(0xEE, str("c"), str("w"), str("p"), str("u"), str("\x00\xff"))},
		"[MQTT3-3.1.3-6] CONNECT with an empty client id": {
			v3, &mqtt.Connect{Version: v3, CleanStart: true, KeepAlive: 60}, connect3(0x02, str("")),
		},
		"[MQTT3-3.1.3-5] CONNECT with 23 characters": {
			v3, &mqtt.Connect{Version: v3, KeepAlive: 60, ClientID: []byte("0123456789abcdefghijklM")},
			connect3(0, str("0123456789abcdefghijklM")),
		},
		"[MQTT3-1.5.3-3] CONNECT keeps U+FEFF": {
			v3, &mqtt.Connect{Version: v3, KeepAlive: 60, ClientID: []byte("\ufeffc\ufeff")},
			connect3(0, str("\xef\xbb\xbfc\xef\xbb\xbf")),
		},
		"[MQTT3-3.1.2-14] CONNECT with a will of QoS 2 and no payload": {
			v3, &mqtt.Connect{Version: v3, KeepAlive: 60, Will: &mqtt.Will{QoS: 2, Topic: []byte("w")}},
			connect3(0x14, str(""), str("w"), str("")),
		},
		"MQTT 3.1 CONNECT": {mqtt.V31, &mqtt.Connect{
			Version: mqtt.V31, CleanStart: true, KeepAlive: 1, HasUsername: true, ClientID: []byte("c"), Username: []byte("u"),
		}, wire(0x10, str("MQIsdp"), 3, 0x82, num(1), str("c"), str("u"))},
		"[MQTT5-3.1.3-1] [MQTT5-3.1.3-10] CONNECT fields in order, and the will's user properties": {mqtt.V5, &mqtt.Connect{
			Version: mqtt.V5, CleanStart: true, HasUsername: true, HasPassword: true, KeepAlive: 60,
			ClientID: []byte("c"), Username: []byte("u"), Password: []byte("x"),
			Will: &mqtt.Will{
				Topic: []byte("w"), Payload: []byte("p"),
				Properties: properties(number(mqtt.PropertyWillDelay, 5), user("b", "1"), user("a", "2"), user("b", "0")),
			},
			Properties: properties(number(mqtt.PropertySessionExpiry, 1<<32-1), number(mqtt.PropertyReceiveMaximum, 7)),
		}, connect5(0xC6, props(0x11, "\xff\xff\xff\xff", 0x21, num(7)), str("c"),
			props(0x18, num(0), num(5), 0x26, str("b"), str("1"), 0x26, str("a"), str("2"), 0x26, str("b"), str("0")),
			str("w"), str("p"), str("u"), str("x"))},
		"[MQTT5-3.1.2-19] CONNECT with a password alone": {
			mqtt.V5, &mqtt.Connect{Version: mqtt.V5, KeepAlive: 60, HasPassword: true, Password: []byte("p")},
			connect5(0x40, none(), str(""), str("p")),
		},
		"[MQTT5-3.1.3-6] CONNECT 5 with an empty client id": {
			mqtt.V5, &mqtt.Connect{Version: mqtt.V5, KeepAlive: 60}, connect5(0, none(), str("")),
		},
		"[MQTT5-3.1.3-5] CONNECT 5 with 23 characters": {
			mqtt.V5, &mqtt.Connect{Version: mqtt.V5, KeepAlive: 60, ClientID: []byte("0123456789abcdefghijklM")},
			connect5(0, none(), str("0123456789abcdefghijklM")),
		},
		"[MQTT5-1.5.4-3] CONNECT keeps U+FEFF": {
			mqtt.V5, &mqtt.Connect{Version: mqtt.V5, KeepAlive: 60, ClientID: []byte("\ufeff")},
			connect5(0, none(), str("\xef\xbb\xbf")),
		},
		"CONNACK 3.1":               {mqtt.V31, &mqtt.Connack{Code: mqtt.ConnackBadClientID}, []byte{0x20, 2, 0, 2}},
		"CONNACK 3.1.1 accepted":    {v3, &mqtt.Connack{SessionPresent: true}, []byte{0x20, 2, 1, 0}},
		"CONNACK 3.1.1 refused":     {v3, &mqtt.Connack{Code: mqtt.ConnackNotAuthorized}, []byte{0x20, 2, 0, 5}},
		"[MQTT5-2.2.2-1] CONNACK 5": {mqtt.V5, &mqtt.Connack{}, []byte{0x20, 3, 0, 0, 0}},
		"CONNACK 5 with properties": {
			mqtt.V5, &mqtt.Connack{SessionPresent: true, Properties: properties(number(mqtt.PropertyMaximumQoS, 1), text(mqtt.PropertyAssignedClientID, "c"))},
			wire(0x20, 1, 0, props(0x24, 1, 0x12, str("c"))),
		},
		"CONNACK 5 refused": {
			mqtt.V5, &mqtt.Connack{Code: byte(mqtt.ReasonBanned), Properties: properties(text(mqtt.PropertyReasonString, "no"))},
			wire(0x20, 0, 0x8A, props(0x1F, str("no"))),
		},
	}
}

func goldenPublishes() map[string]golden {
	big := strings.Repeat("x", 300)
	huge := strings.Repeat("y", 70000)
	return map[string]golden{
		"[MQTT3-2.3.1-5] PUBLISH QoS 0 has no identifier": {
			v3, &mqtt.Publish{Topic: []byte("t"), Payload: []byte("p")}, wire(0x30, str("t"), "p"),
		},
		"PUBLISH QoS 1":            {v3, &mqtt.Publish{QoS: 1, ID: 10, Topic: []byte("a/b"), Payload: []byte(big)}, wire(0x32, str("a/b"), num(10), big)},
		"PUBLISH QoS 2, all flags": {v3, &mqtt.Publish{Dup: true, Retain: true, QoS: 2, ID: 0xFFFF, Topic: []byte("t")}, wire(0x3D, str("t"), num(0xFFFF))},
		"PUBLISH 3.1":              {mqtt.V31, &mqtt.Publish{QoS: 1, ID: 1, Topic: []byte("t"), Payload: []byte(huge)}, wire(0x32, str("t"), num(1), huge)},
		"[MQTT3-4.7.3-4] PUBLISH: no normalization": {v3, &mqtt.Publish{Topic: []byte("e\u0301/\u00e9")}, wire(0x30, str("e\u0301/\u00e9"))},
		"[MQTT5-4.7.3-4] PUBLISH 5: no normalization": {
			mqtt.V5, &mqtt.Publish{Topic: []byte("e\u0301/\u00e9/../A//")}, wire(0x30, str("e\u0301/\u00e9/../A//"), 0),
		},
		"[MQTT3-4.7.3-1] PUBLISH to /": {v3, &mqtt.Publish{Topic: []byte("/")}, wire(0x30, str("/"))},
		"[MQTT3-4.7.3-3] PUBLISH to the longest topic": {
			v3, &mqtt.Publish{Topic: bytes.Repeat([]byte("t"), 65535)}, wire(0x30, str(strings.Repeat("t", 65535))),
		},
		"[MQTT5-2.2.1-2] PUBLISH 5 QoS 0 has no identifier": {
			mqtt.V5, &mqtt.Publish{Topic: []byte("t"), Payload: []byte("p")}, wire(0x30, str("t"), 0, "p"),
		},
		"PUBLISH 5 with an alias for its topic": {
			mqtt.V5, &mqtt.Publish{QoS: 1, ID: 2, Properties: properties(number(mqtt.PropertyTopicAlias, 3)), Payload: []byte(big)},
			wire(0x32, str(""), num(2), props(0x23, num(3)), big),
		},
		"[MQTT5-3.3.2-17] [MQTT5-3.3.2-18] PUBLISH 5 keeps the order of user properties": {
			mqtt.V5, &mqtt.Publish{Topic: []byte("t"), Properties: properties(user("z", "1"), number(mqtt.PropertyPayloadFormat, 1), user("a", "2"), user("z", ""))},
			wire(0x30, str("t"), props(0x26, str("z"), str("1"), 1, 1, 0x26, str("a"), str("2"), 0x26, str("z"), str(""))),
		},
		"PUBLISH 5 with several subscription identifiers": {
			mqtt.V5, &mqtt.Publish{Topic: []byte("t"), Properties: properties(subscriptionID(1), subscriptionID(268435455), subscriptionID(1))},
			wire(0x30, str("t"), props(0x0B, 1, 0x0B, "\xff\xff\xff\x7f", 0x0B, 1)),
		},
		"[MQTT5-3.3.2-4] [MQTT5-3.3.2-15] [MQTT5-3.3.2-16] [MQTT5-3.3.2-20] PUBLISH 5 alters no property": {
			mqtt.V5, &mqtt.Publish{Topic: []byte("t"), Payload: []byte("p"), Properties: properties(
				number(mqtt.PropertyPayloadFormat, 0), number(mqtt.PropertyMessageExpiry, 9), text(mqtt.PropertyContentType, "application/json"),
				text(mqtt.PropertyResponseTopic, "r/1"), text(mqtt.PropertyCorrelationData, "\x00\xff"), user(big, big))},
			wire(0x30, str("t"), props(1, 0, 2, num(0), num(9), 3, str("application/json"), 8, str("r/1"), 9, str("\x00\xff"), 0x26, str(big), str(big)), "p"),
		},
	}
}

func goldenAcks() map[string]golden {
	reason := properties(text(mqtt.PropertyReasonString, "why"))
	return map[string]golden{
		"PUBACK 3.1.1":                       {v3, &mqtt.Puback{ID: 0x1234}, []byte{0x40, 2, 0x12, 0x34}},
		"PUBREC 3.1.1":                       {v3, &mqtt.Pubrec{ID: 1}, []byte{0x50, 2, 0, 1}},
		"[MQTT3-3.6.1-1] PUBREL 3.1.1":       {v3, &mqtt.Pubrel{ID: 1}, []byte{0x62, 2, 0, 1}},
		"PUBCOMP 3.1.1":                      {v3, &mqtt.Pubcomp{ID: 1}, []byte{0x70, 2, 0, 1}},
		"PUBACK 5, short":                    {mqtt.V5, &mqtt.Puback{ID: 1}, []byte{0x40, 2, 0, 1}},
		"PUBACK 5, reason":                   {mqtt.V5, &mqtt.Puback{ID: 1, Reason: mqtt.ReasonNotAuthorized}, []byte{0x40, 3, 0, 1, 0x87}},
		"PUBACK 5, long":                     {mqtt.V5, &mqtt.Puback{ID: 1, Properties: reason}, wire(0x40, num(1), 0, props(0x1F, str("why")))},
		"PUBREC 5, long":                     {mqtt.V5, &mqtt.Pubrec{ID: 1, Reason: mqtt.ReasonQuotaExceeded, Properties: reason}, wire(0x50, num(1), 0x97, props(0x1F, str("why")))},
		"[MQTT5-3.6.1-1] PUBREL 5":           {mqtt.V5, &mqtt.Pubrel{ID: 1, Reason: mqtt.ReasonPacketIDNotFound}, []byte{0x62, 3, 0, 1, 0x92}},
		"PUBCOMP 5":                          {mqtt.V5, &mqtt.Pubcomp{ID: 1, Properties: properties(user("k", "v"))}, wire(0x70, num(1), 0, props(0x26, str("k"), str("v")))},
		"[MQTT3-3.9.3-1] SUBACK in order":    {v3, &mqtt.Suback{ID: 9, Codes: []byte{2, 0x80, 0, 1}}, wire(0x90, num(9), 2, 0x80, 0, 1)},
		"[MQTT5-3.9.3-1] SUBACK in order":    {mqtt.V5, &mqtt.Suback{ID: 9, Codes: []byte{2, 0x87, 0}, Properties: reason}, wire(0x90, num(9), props(0x1F, str("why")), 2, 0x87, 0)},
		"UNSUBACK 3.1.1":                     {v3, &mqtt.Unsuback{ID: 9}, wire(0xB0, num(9))},
		"[MQTT5-3.11.3-1] UNSUBACK in order": {mqtt.V5, &mqtt.Unsuback{ID: 9, Codes: []byte{0x11, 0}}, wire(0xB0, num(9), 0, 0x11, 0)},
	}
}

func goldenSubscribes() map[string]golden {
	return map[string]golden{
		"SUBSCRIBE 3.1.1": {v3, &mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{
			{Topic: []byte("a/+/b"), QoS: 1}, {Topic: []byte("#")}, {Topic: []byte("+"), QoS: 2}, {Topic: []byte("/+/#"), QoS: 1},
		}}, wire(0x82, num(1), str("a/+/b"), 1, str("#"), 0, str("+"), 2, str("/+/#"), 1)},
		"SUBSCRIBE of more than 127 bytes": {v3, &mqtt.Subscribe{
			ID: 1, Filters: []mqtt.Filter{{Topic: bytes.Repeat([]byte("long/"), 30)}, {Topic: []byte("b"), QoS: 1}},
		}, wire(0x82, num(1), str(strings.Repeat("long/", 30)), 0, str("b"), 1)},
		"SUBSCRIBE 3.1.1: $share is a name like others": {v3, &mqtt.Subscribe{
			ID: 1, Filters: []mqtt.Filter{{Topic: []byte("$share//a")}, {Topic: []byte("$share/+/#")}},
		}, wire(0x82, num(1), str("$share//a"), 0, str("$share/+/#"), 0)},
		"[MQTT5-3.8.3-3] SUBSCRIBE 5 with all options": {mqtt.V5, &mqtt.Subscribe{
			ID: 1, Properties: properties(number(mqtt.PropertySubscriptionID, 128), user("k", "v")),
			Filters: []mqtt.Filter{
				{Topic: []byte("a"), QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2},
				{Topic: []byte("b"), RetainHandling: 1},
				{Topic: []byte("c"), NoLocal: true},
				{Topic: []byte("d"), QoS: 1, RetainAsPublished: true},
			},
		}, wire(0x82, num(1), props(0x0B, 0x80, 1, 0x26, str("k"), str("v")), str("a"), 0x2E, str("b"), 0x10, str("c"), 4, str("d"), 9)},
		"[MQTT5-4.8.2-1] [MQTT5-4.8.2-2] SUBSCRIBE 5, shared": {mqtt.V5, &mqtt.Subscribe{
			ID: 1, Filters: []mqtt.Filter{{Topic: []byte("$share/g/a/+/#"), QoS: 1}, {Topic: []byte("$share")}, {Topic: []byte("$share/group/+")}},
		}, wire(0x82, num(1), 0, str("$share/g/a/+/#"), 1, str("$share"), 0, str("$share/group/+"), 0)},
		"UNSUBSCRIBE 3.1.1": {v3, &mqtt.Unsubscribe{ID: 1, Filters: [][]byte{[]byte("a/#"), []byte("b")}}, wire(0xA2, num(1), str("a/#"), str("b"))},
		"UNSUBSCRIBE 5": {
			mqtt.V5, &mqtt.Unsubscribe{ID: 1, Filters: [][]byte{[]byte("$share/g/#")}, Properties: properties(user("", ""))},
			wire(0xA2, num(1), props(0x26, str(""), str("")), str("$share/g/#")),
		},
	}
}

func goldenRest() map[string]golden {
	return map[string]golden{
		"PINGREQ":              {v3, &mqtt.Pingreq{}, []byte{0xC0, 0}},
		"PINGRESP":             {v3, &mqtt.Pingresp{}, []byte{0xD0, 0}},
		"PINGREQ 5":            {mqtt.V5, &mqtt.Pingreq{}, []byte{0xC0, 0}},
		"PINGRESP 5":           {mqtt.V5, &mqtt.Pingresp{}, []byte{0xD0, 0}},
		"DISCONNECT 3.1.1":     {v3, &mqtt.Disconnect{}, []byte{0xE0, 0}},
		"DISCONNECT 5, short":  {mqtt.V5, &mqtt.Disconnect{}, []byte{0xE0, 0}},
		"DISCONNECT 5, reason": {mqtt.V5, &mqtt.Disconnect{Reason: mqtt.ReasonSessionTakenOver}, []byte{0xE0, 1, 0x8E}},
		"DISCONNECT 5, long": {
			mqtt.V5, &mqtt.Disconnect{Properties: properties(number(mqtt.PropertySessionExpiry, 0), text(mqtt.PropertyServerReference, "s"))},
			wire(0xE0, 0, props(0x11, num(0), num(0), 0x1C, str("s"))),
		},
		"AUTH, short": {mqtt.V5, &mqtt.Auth{}, []byte{0xF0, 0}},
		"AUTH, long": {
			mqtt.V5, &mqtt.Auth{Reason: mqtt.ReasonReauthenticate, Properties: properties(text(mqtt.PropertyAuthMethod, "m"), text(mqtt.PropertyAuthData, "\x00"))},
			wire(0xF0, 0x19, props(0x15, str("m"), 0x16, str("\x00"))),
		},
	}
}

func TestGoldenAppend(t *testing.T) {
	for name, g := range goldens() {
		t.Run(name, func(t *testing.T) {
			before := []byte("before")
			got, err := g.packet.Append(before, g.v)
			if err != nil {
				t.Fatal(err)
			}
			if want := cat("before", g.wire); !bytes.Equal(got, want) {
				t.Errorf("got  % x\nwant % x", got, want)
			}
		})
	}
}

func TestGoldenDecode(t *testing.T) {
	for name, g := range goldens() {
		t.Run(name, func(t *testing.T) {
			d := mqtt.Decoder{Version: versionOf(g)}
			got, err := d.Decode(exactly(g.wire))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(g.packet, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if d.Version != g.v {
				t.Errorf("got version %v, want %v", d.Version, g.v)
			}
			if got.Type() != mqtt.Type(g.wire[0]>>4) {
				t.Errorf("got type %v, want %v", got.Type(), mqtt.Type(g.wire[0]>>4))
			}
		})
	}
}

// versionOf is the version of a decoder that waits for the packet of g.
func versionOf(g golden) mqtt.Version {
	if g.packet.Type() == mqtt.TypeConnect {
		return 0
	}
	return g.v
}

// TestCut cuts every packet at every byte: each part is refused, and none is
// read beyond its end.
func TestCut(t *testing.T) {
	for name, g := range goldens() {
		t.Run(name, func(t *testing.T) {
			if len(g.wire) > 1000 {
				return
			}
			for n := range len(g.wire) {
				d := mqtt.Decoder{Version: versionOf(g)}
				if p, err := d.Decode(exactly(g.wire[:n])); err == nil {
					t.Errorf("the first %d of %d bytes were decoded as %+v", n, len(g.wire), p)
				}
			}
		})
	}
}

func TestAppendPuback(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5} {
		want, err := (&mqtt.Puback{ID: 0x1234}).Append([]byte("x"), v)
		if err != nil {
			t.Fatal(err)
		}
		if got := mqtt.AppendPuback([]byte("x"), 0x1234); !bytes.Equal(got, want) {
			t.Errorf("%v: got % x, want % x", v, got, want)
		}
	}
}

// TestLongForms decodes what may be written in more bytes than needed.
func TestLongForms(t *testing.T) {
	cases := map[string]struct {
		v    mqtt.Version
		wire []byte
		want mqtt.Packet
	}{
		"PUBACK with success":                {mqtt.V5, wire(0x40, num(1), 0), &mqtt.Puback{ID: 1}},
		"PUBACK with success, no properties": {mqtt.V5, wire(0x40, num(1), 0, 0), &mqtt.Puback{ID: 1}},
		"DISCONNECT with success":            {mqtt.V5, wire(0xE0, 0), &mqtt.Disconnect{}},
		"DISCONNECT, no properties":          {mqtt.V5, wire(0xE0, 0, 0), &mqtt.Disconnect{}},
		"AUTH, no properties":                {mqtt.V5, wire(0xF0, 0, 0), &mqtt.Auth{}},
		"3.1.1: remaining length in 2 bytes": {v3, []byte{0x40, 0x82, 0, 0, 1}, &mqtt.Puback{ID: 1}},
		"3.1.1: remaining length in 4 bytes": {v3, []byte{0xC0, 0x80, 0x80, 0x80, 0}, &mqtt.Pingreq{}},
		"3.1.1 CONNECT in a long length": {
			0, append([]byte{0x10, 13 | 0x80, 0}, connect3(2, str("c"))[2:]...),
			&mqtt.Connect{Version: v3, CleanStart: true, KeepAlive: 60, ClientID: []byte("c")},
		},
	}
	for name, c := range cases {
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
}

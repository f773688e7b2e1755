package mqtt_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// TestReasons tries every code in every packet that has one, against the tables
// of MQTT 5.0 section 2.4.
func TestReasons(t *testing.T) {
	publish := []byte{0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
	method := props(0x15, str("m"))
	cases := map[string]struct {
		wire  func(code int) []byte
		from  mqtt.Sender
		legal []byte
	}{
		"[MQTT5-3.2.2-8] CONNACK": {func(c int) []byte { return wire(0x20, 0, c, 0) }, mqtt.FromServer, []byte{
			0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
		}},
		"[MQTT5-3.4.2-1] PUBACK":  {func(c int) []byte { return wire(0x40, num(1), c) }, mqtt.FromClient, publish},
		"[MQTT5-3.5.2-1] PUBREC":  {func(c int) []byte { return wire(0x50, num(1), c) }, mqtt.FromServer, publish},
		"[MQTT5-3.6.2-1] PUBREL":  {func(c int) []byte { return wire(0x62, num(1), c) }, mqtt.FromClient, []byte{0x00, 0x92}},
		"[MQTT5-3.7.2-1] PUBCOMP": {func(c int) []byte { return wire(0x70, num(1), c) }, mqtt.FromClient, []byte{0x00, 0x92}},
		"[MQTT5-3.9.3-2] SUBACK": {func(c int) []byte { return wire(0x90, num(1), 0, c) }, mqtt.FromServer, []byte{
			0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
		}},
		"[MQTT5-3.11.3-2] UNSUBACK": {func(c int) []byte { return wire(0xB0, num(1), 0, c) }, mqtt.FromServer, []byte{0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}},
		"[MQTT5-3.14.2-1] DISCONNECT of a client": {func(c int) []byte { return wire(0xE0, c) }, mqtt.FromClient, []byte{
			0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
		}},
		"[MQTT5-3.14.2-1] DISCONNECT of a server": {func(c int) []byte { return wire(0xE0, c) }, mqtt.FromServer, []byte{
			0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
			0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
		}},
		"[MQTT5-3.15.2-1] AUTH of a client": {func(c int) []byte { return wire(0xF0, c, method) }, mqtt.FromClient, []byte{0x18, 0x19}},
		"[MQTT5-3.15.2-1] AUTH of a server": {func(c int) []byte { return wire(0xF0, c, method) }, mqtt.FromServer, []byte{0x00, 0x18}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for code := range 256 {
				_, err := decode(mqtt.V5, c.from, c.wire(code))
				if slices.Contains(c.legal, byte(code)) {
					if err != nil {
						t.Errorf("0x%02x: %v", code, err)
					}
					continue
				}
				wantError(t, err, name, protocol)
			}
		})
	}
}

func TestNames(t *testing.T) {
	cases := map[string]interface{ String() string }{
		"MQTT 3.1":                             mqtt.V31,
		"MQTT 3.1.1":                           mqtt.V311,
		"MQTT 5.0":                             mqtt.V5,
		"MQTT level 6":                         mqtt.Version(6),
		"CONNECT":                              mqtt.TypeConnect,
		"AUTH":                                 mqtt.TypeAuth,
		"reserved packet type 0":               mqtt.Type(0),
		"packet type 16":                       mqtt.Type(16),
		"success":                              mqtt.ReasonSuccess,
		"granted QoS 1":                        mqtt.ReasonGrantedQoS1,
		"granted QoS 2":                        mqtt.ReasonGrantedQoS2,
		"disconnect with will message":         mqtt.ReasonDisconnectWithWill,
		"no matching subscribers":              mqtt.ReasonNoMatchingSubscribers,
		"no subscription existed":              mqtt.ReasonNoSubscriptionExisted,
		"continue authentication":              mqtt.ReasonContinueAuthentication,
		"re-authenticate":                      mqtt.ReasonReauthenticate,
		"unspecified error":                    mqtt.ReasonUnspecified,
		"session taken over":                   mqtt.ReasonSessionTakenOver,
		"packet too large":                     mqtt.ReasonPacketTooLarge,
		"wildcard subscriptions not supported": mqtt.ReasonWildcardNotSupported,
		"reason 0x3":                           mqtt.Reason(3),
		"reason 0xa3":                          mqtt.Reason(0xA3),
		"topic alias":                          mqtt.PropertyTopicAlias,
		"property 4":                           mqtt.Property(4),
		"property 200":                         mqtt.Property(200),
	}
	for want, x := range cases {
		if got := x.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	_, err := decode(v3, mqtt.FromAnyone, wire(0x82, num(1), str("a/#/b"), 0))
	want := "mqtt: topic filter has '#' where it is not the whole last level [MQTT3-4.7.1-2]"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if errors.Is(err, mqtt.ErrTooLarge) || errors.Is(err, mqtt.ErrUnsupportedVersion) {
		t.Errorf("%v is more than one kind of error", err)
	}
}

func TestValidTopic(t *testing.T) {
	for _, topic := range []string{"a", "/", "a/b", "$SYS/x", " ", "\ufeff", "häuser/é", "a\x01b", "\u0080\uffff"} {
		if err := mqtt.ValidTopic([]byte(topic)); err != nil {
			t.Errorf("%q: %v", topic, err)
		}
	}
	for topic, name := range map[string]string{
		"":                         "[MQTT3-4.7.3-1] [MQTT5-4.7.3-1]",
		"a\x00":                    "[MQTT3-4.7.3-2] [MQTT5-4.7.3-2]",
		"\xff":                     "[MQTT3-1.5.3-1] [MQTT5-1.5.4-1]",
		"a/+":                      "[MQTT3-4.7.1-1] [MQTT5-4.7.0-1]",
		"#":                        "[MQTT3-4.7.1-1] [MQTT5-4.7.0-1]",
		strings.Repeat("a", 1<<16): "[MQTT3-4.7.3-3] [MQTT5-4.7.3-3]",
	} {
		err := mqtt.ValidTopic([]byte(topic))
		if e, ok := errors.AsType[*mqtt.Error](err); ok {
			wantError(t, err, name, e.Reason)
		} else {
			t.Errorf("%q was accepted, want %s", topic, name)
		}
	}
}

func TestValidFilter(t *testing.T) {
	for _, filter := range []string{"a", "/", "+", "#", "+/+", "/#", "a/+/b/#", "$share/g/a", "+/#", "//", "é/+"} {
		if err := mqtt.ValidFilter([]byte(filter)); err != nil {
			t.Errorf("%q: %v", filter, err)
		}
	}
	for filter, name := range map[string]string{
		"":      "[MQTT3-4.7.3-1] [MQTT5-4.7.3-1]",
		"a\x00": "[MQTT3-4.7.3-2] [MQTT5-4.7.3-2]",
		"#/":    "[MQTT3-4.7.1-2] [MQTT5-4.7.1-1]",
		"a#":    "[MQTT3-4.7.1-2] [MQTT5-4.7.1-1]",
		"a/+b":  "[MQTT3-4.7.1-3] [MQTT5-4.7.1-2]",
		"é+/b":  "[MQTT3-4.7.1-3] [MQTT5-4.7.1-2]",
	} {
		err := mqtt.ValidFilter([]byte(filter))
		if e, ok := errors.AsType[*mqtt.Error](err); ok {
			wantError(t, err, name, e.Reason)
		} else {
			t.Errorf("%q was accepted, want %s", filter, name)
		}
	}
}

func TestSplitShared(t *testing.T) {
	cases := map[string]struct {
		name, filter string
		shared       bool
		rule         string
	}{
		"a/b":            {"", "a/b", false, ""},
		"$share":         {"", "$share", false, ""},
		"$shared/a/b":    {"", "$shared/a/b", false, ""},
		"$share/g/a/b":   {"g", "a/b", true, ""},
		"$share/g//":     {"g", "/", true, ""},
		"$share/é/#":     {"é", "#", true, ""},
		"$share//a":      {"", "", true, "[MQTT5-4.8.2-1]"},
		"$share/":        {"", "", true, "[MQTT5-4.8.2-1]"},
		"$share/g":       {"", "", true, "[MQTT5-4.8.2-2]"},
		"$share/g/":      {"", "", true, "[MQTT5-4.8.2-2]"},
		"$share/+/a":     {"", "", true, "[MQTT5-4.8.2-2]"},
		"$share/group#/": {"", "", true, "[MQTT5-4.8.2-2]"},
	}
	for filter, c := range cases {
		name, rest, shared, err := mqtt.SplitShared([]byte(filter))
		if string(name) != c.name || string(rest) != c.filter || shared != c.shared {
			t.Errorf("%q: got %q, %q, %v, want %q, %q, %v", filter, name, rest, shared, c.name, c.filter, c.shared)
		}
		if c.rule == "" {
			if err != nil {
				t.Errorf("%q: %v", filter, err)
			}
			continue
		}
		wantError(t, err, c.rule, badFilter)
	}
}

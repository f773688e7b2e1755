package mqtt_test

import (
	"slices"
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// example is a property with a value that it may have, and the letters of the
// packets that may hold it, after MQTT 5.0 table 2-4: C CONNECT, A CONNACK,
// W will, P PUBLISH, a PUBACK and its like, S SUBSCRIBE, s SUBACK,
// U UNSUBSCRIBE, u UNSUBACK, D DISCONNECT, X AUTH.
type example struct {
	id      mqtt.Property
	value   []byte
	packets string
}

func examples() []example {
	long := []byte{0, 0, 0, 1}
	return []example{
		{mqtt.PropertyPayloadFormat, []byte{1}, "PW"},
		{mqtt.PropertyMessageExpiry, long, "PW"},
		{mqtt.PropertyContentType, str("x"), "PW"},
		{mqtt.PropertyResponseTopic, str("x"), "PW"},
		{mqtt.PropertyCorrelationData, str("x"), "PW"},
		{mqtt.PropertySubscriptionID, []byte{1}, "PS"},
		{mqtt.PropertySessionExpiry, long, "CAD"},
		{mqtt.PropertyAssignedClientID, str("x"), "A"},
		{mqtt.PropertyServerKeepAlive, num(1), "A"},
		{mqtt.PropertyAuthMethod, str("x"), "CAX"},
		{mqtt.PropertyAuthData, str("x"), "CAX"},
		{mqtt.PropertyRequestProblemInfo, []byte{1}, "C"},
		{mqtt.PropertyWillDelay, long, "W"},
		{mqtt.PropertyRequestResponseInfo, []byte{1}, "C"},
		{mqtt.PropertyResponseInfo, str("x"), "A"},
		{mqtt.PropertyServerReference, str("x"), "AD"},
		{mqtt.PropertyReasonString, str("x"), "AasuDX"},
		{mqtt.PropertyReceiveMaximum, num(1), "CA"},
		{mqtt.PropertyTopicAliasMaximum, num(1), "CA"},
		{mqtt.PropertyTopicAlias, num(1), "P"},
		{mqtt.PropertyMaximumQoS, []byte{1}, "A"},
		{mqtt.PropertyRetainAvailable, []byte{1}, "A"},
		{mqtt.PropertyUser, slices.Concat(str("k"), str("v")), "CAWPaSsUuDX"},
		{mqtt.PropertyMaximumPacketSize, long, "CA"},
		{mqtt.PropertyWildcardAvailable, []byte{1}, "A"},
		{mqtt.PropertySubscriptionIDsAllowed, []byte{1}, "A"},
		{mqtt.PropertySharedAvailable, []byte{1}, "A"},
	}
}

// holder is a packet that can hold properties.
type holder struct {
	letter string
	wire   func(properties ...any) []byte
}

func holders() map[string]holder {
	ack := func(first byte) holder {
		return holder{"a", func(p ...any) []byte { return wire(first, num(1), 0, props(p...)) }}
	}
	return map[string]holder{
		"CONNECT":     {"C", func(p ...any) []byte { return connect5(2, props(p...), str("c")) }},
		"will":        {"W", func(p ...any) []byte { return connect5(6, none(), str("c"), props(p...), str("t"), str("p")) }},
		"CONNACK":     {"A", func(p ...any) []byte { return wire(0x20, 0, 0, props(p...)) }},
		"PUBLISH":     {"P", func(p ...any) []byte { return wire(0x30, str("t"), props(p...)) }},
		"PUBACK":      ack(0x40),
		"PUBREC":      ack(0x50),
		"PUBREL":      ack(0x62),
		"PUBCOMP":     ack(0x70),
		"SUBSCRIBE":   {"S", func(p ...any) []byte { return wire(0x82, num(1), props(p...), str("a"), 0) }},
		"SUBACK":      {"s", func(p ...any) []byte { return wire(0x90, num(1), props(p...), 0) }},
		"UNSUBSCRIBE": {"U", func(p ...any) []byte { return wire(0xA2, num(1), props(p...), str("a")) }},
		"UNSUBACK":    {"u", func(p ...any) []byte { return wire(0xB0, num(1), props(p...), 0) }},
		"DISCONNECT":  {"D", func(p ...any) []byte { return wire(0xE0, 0, props(p...)) }},
		"AUTH":        {"X", func(p ...any) []byte { return wire(0xF0, 0x18, props(p...)) }},
	}
}

// versionFor is the version of a decoder for the packet b of MQTT 5.
func versionFor(b []byte) mqtt.Version {
	if b[0]>>4 == byte(mqtt.TypeConnect) {
		return 0
	}
	return mqtt.V5
}

// withMethod is what AUTH and CONNECT want beside the property: the method.
func withMethod(h holder, id mqtt.Property, p []byte) []byte {
	if id != mqtt.PropertyAuthMethod && (h.letter == "X" || h.letter == "C" && id == mqtt.PropertyAuthData) {
		return slices.Concat(p, []byte{byte(mqtt.PropertyAuthMethod)}, str("m"))
	}
	return p
}

// TestPropertyMatrix tries every property in every packet, once and twice.
func TestPropertyMatrix(t *testing.T) {
	const misplaced = "[MQTT5-2.2.2.2]"
	for packet, h := range holders() {
		for _, x := range examples() {
			t.Run(misplaced+" "+packet+" "+x.id.String(), func(t *testing.T) {
				once := slices.Concat([]byte{byte(x.id)}, x.value)
				b := h.wire(withMethod(h, x.id, once))
				_, err := decode(versionFor(b), mqtt.FromAnyone, b)
				if !slices.Contains([]byte(x.packets), h.letter[0]) {
					wantError(t, err, misplaced, malformed)
					return
				}
				if err != nil {
					t.Fatalf("once: %v", err)
				}
				b = h.wire(withMethod(h, x.id, slices.Concat(once, once)))
				_, err = decode(versionFor(b), mqtt.FromAnyone, b)
				if x.id == mqtt.PropertyUser || x.id == mqtt.PropertySubscriptionID && packet == "PUBLISH" {
					if err != nil {
						t.Errorf("twice: %v", err)
					}
					return
				}
				wantError(t, err, section(x.id), protocol)
			})
		}
	}
}

// section is where the specification forbids property id twice, in brackets.
func section(id mqtt.Property) string {
	sections := map[mqtt.Property]string{
		mqtt.PropertyPayloadFormat:          "[MQTT5-3.3.2.3.2]",
		mqtt.PropertyMessageExpiry:          "[MQTT5-3.3.2.3.3]",
		mqtt.PropertyContentType:            "[MQTT5-3.3.2.3.9]",
		mqtt.PropertyResponseTopic:          "[MQTT5-3.3.2.3.5]",
		mqtt.PropertyCorrelationData:        "[MQTT5-3.3.2.3.6]",
		mqtt.PropertySubscriptionID:         "[MQTT5-3.8.2.1.2]",
		mqtt.PropertySessionExpiry:          "[MQTT5-3.1.2.11.2]",
		mqtt.PropertyAssignedClientID:       "[MQTT5-3.2.2.3.7]",
		mqtt.PropertyServerKeepAlive:        "[MQTT5-3.2.2.3.14]",
		mqtt.PropertyAuthMethod:             "[MQTT5-3.1.2.11.9]",
		mqtt.PropertyAuthData:               "[MQTT5-3.1.2.11.10]",
		mqtt.PropertyRequestProblemInfo:     "[MQTT5-3.1.2.11.7]",
		mqtt.PropertyWillDelay:              "[MQTT5-3.1.3.2.2]",
		mqtt.PropertyRequestResponseInfo:    "[MQTT5-3.1.2.11.6]",
		mqtt.PropertyResponseInfo:           "[MQTT5-3.2.2.3.15]",
		mqtt.PropertyServerReference:        "[MQTT5-3.2.2.3.16]",
		mqtt.PropertyReasonString:           "[MQTT5-3.2.2.3.9]",
		mqtt.PropertyReceiveMaximum:         "[MQTT5-3.1.2.11.3]",
		mqtt.PropertyTopicAliasMaximum:      "[MQTT5-3.1.2.11.5]",
		mqtt.PropertyTopicAlias:             "[MQTT5-3.3.2.3.4]",
		mqtt.PropertyMaximumQoS:             "[MQTT5-3.2.2.3.4]",
		mqtt.PropertyRetainAvailable:        "[MQTT5-3.2.2.3.5]",
		mqtt.PropertyMaximumPacketSize:      "[MQTT5-3.1.2.11.4]",
		mqtt.PropertyWildcardAvailable:      "[MQTT5-3.2.2.3.11]",
		mqtt.PropertySubscriptionIDsAllowed: "[MQTT5-3.2.2.3.12]",
		mqtt.PropertySharedAvailable:        "[MQTT5-3.2.2.3.13]",
	}
	return sections[id]
}

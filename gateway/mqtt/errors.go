package mqtt

import (
	"errors"
	"strings"
)

// What an [Error] is, for errors.Is. Every Error is exactly one of them.
var (
	// ErrMalformed is a packet that breaks a rule of the protocol.
	ErrMalformed = errors.New("mqtt: malformed packet")
	// ErrTooLarge is a packet above the size limit.
	ErrTooLarge = errors.New("mqtt: packet too large")
	// ErrUnsupportedVersion is a CONNECT of a protocol or version that this
	// package does not speak.
	ErrUnsupportedVersion = errors.New("mqtt: unsupported protocol version")
)

// Error says what is wrong with a packet. It never holds anything that the
// peer sent, but for a level.
type Error struct {
	// Reason is what MQTT 5 tells the peer in CONNACK or DISCONNECT.
	Reason Reason
	// Rule names the statement of the specification that the packet breaks, as
	// "MQTT3-3.1.2-3" for [MQTT-3.1.2-3] of MQTT 3.1.1 and "MQTT5-3.1.2-3" for
	// that of MQTT 5.0. Where several statements forbid the same thing it has
	// all of them, the most special first, separated by spaces; so it has where
	// the version is not known. Where no numbered statement forbids it, Rule
	// has the section instead, as "MQTT5-3.1.2.11.3".
	Rule string
	// Text says it in words.
	Text string
	// Level is the protocol level that a refused CONNECT asked for, with
	// [ErrUnsupportedVersion] only; 0 if the CONNECT was too odd to have one. A
	// client of level 5 or more reads the CONNACK of MQTT 5, with
	// [ReasonUnsupportedVersion], another one that of 3.1.1, with
	// [ConnackBadVersion].
	Level byte
}

// Error implements error.
func (e *Error) Error() string { return "mqtt: " + e.Text + " [" + e.Rule + "]" }

// Is matches [ErrMalformed], [ErrTooLarge] and [ErrUnsupportedVersion].
func (e *Error) Is(target error) bool {
	switch e.Reason {
	case ReasonPacketTooLarge:
		return target == ErrTooLarge
	case ReasonUnsupportedVersion:
		return target == ErrUnsupportedVersion
	default:
		return target == ErrMalformed
	}
}

// anyViolation is the rule for what no other statement forbids: a protocol
// violation closes the connection.
const anyViolation = "MQTT3-4.8.0-1 MQTT5-4.13.1-1"

// broken makes the Error for a packet of version v. Of rules, a list for all
// versions, it takes those of v.
func broken(v Version, r Reason, rules, text string) *Error {
	rule := rulesOf(v, rules)
	if rule == "" {
		rule = rulesOf(v, anyViolation)
	}
	return &Error{Reason: r, Rule: rule, Text: text}
}

// rulesOf is the part of rules that holds for v.
func rulesOf(v Version, rules string) string {
	if !v.known() {
		return strings.TrimSpace(rules)
	}
	prefix := "MQTT3-"
	if v == V5 {
		prefix = "MQTT5-"
	}
	var own []string
	for rule := range strings.FieldsSeq(rules) {
		if strings.HasPrefix(rule, prefix) {
			own = append(own, rule)
		}
	}
	return strings.Join(own, " ")
}

package c2d

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
)

// The limits of IoT Hub (Microsoft's page "send cloud-to-device messages from
// IoT Hub" and the quotas of C2D).
const (
	MaxSize    = 64 << 10       // bytes of body and properties
	MaxDepth   = 50             // messages in the queue of a device
	DefaultTTL = time.Hour      // of a message that does not say when it expires
	MaxTTL     = 48 * time.Hour // of any message
	maxID      = 128            // bytes of a message id
	maxTopic   = 65535          // bytes of a topic [MQTT3-1.5.3]
)

// Ack says which outcomes of a message its sender wants to hear of.
type Ack string

// The words of iothub-ack. The empty word is [AckNone].
const (
	AckNone     Ack = "none"
	AckPositive Ack = "positive" // that it was delivered
	AckNegative Ack = "negative" // that it never will be
	AckFull     Ack = "full"     // both
)

// word is the word on the wire.
func (a Ack) word() string {
	if a == "" {
		return string(AckNone)
	}
	return string(a)
}

// Wants reports whether the sender wants to hear of an outcome.
func (a Ack) Wants(s Status) bool {
	switch a {
	case AckFull:
		return true
	case AckPositive:
		return s == Success
	case AckNegative:
		return s != Success
	case AckNone:
		return false
	default:
		return false
	}
}

func (a Ack) valid() bool {
	switch a {
	case "", AckNone, AckPositive, AckNegative, AckFull:
		return true
	default:
		return false
	}
}

// Message is a cloud-to-device message. The fields below Properties are set by
// the queue that it was read from.
type Message struct {
	Device          string // id of the device that it is for
	MessageID       string
	CorrelationID   string
	UserID          string
	ContentType     string
	ContentEncoding string
	Created         time.Time // what the sender says; zero: nothing
	Expires         time.Time // zero: some time after it was enqueued, see [Limits]
	Ack             Ack
	Body            []byte
	// Properties are the application's. One with an empty value is kept but
	// not delivered: several SDKs can't read it.
	Properties map[string]string

	Sequence   uint64    // number in the stream; 0: not queued
	Enqueued   time.Time // when the stream has stored it
	Deliveries int       // how often it was delivered in vain
	Fault      error     // why the headers can't be read; such a message is refused
}

// Size is IoT Hub's count of bytes: the body, and names and values of
// properties.
func (m *Message) Size() int {
	n := len(m.Body) + len(m.MessageID) + len(m.CorrelationID) + len(m.UserID) + len(m.ContentType) + len(m.ContentEncoding)
	for name, value := range m.Properties {
		n += len(name) + len(value)
	}
	return n
}

// ending is how the success of a message is settled.
type ending int

const (
	plain   ending = iota // it is removed, and that is all
	alone                 // what is known of it goes first
	decided               // its sender hears of it
)

func (m *Message) ending() ending {
	switch {
	case m.Ack.word() != string(AckNone):
		return decided
	case m.Deliveries > 0:
		return alone
	default:
		return plain
	}
}

func (m *Message) validateText() error {
	for _, p := range m.texts() {
		if !utf8.ValidString(p.value) {
			return hub.Errorf(hub.ArgumentInvalid, "the property %s is not UTF-8", p.name)
		}
	}
	for name, value := range m.Properties {
		switch {
		case name == "":
			return hub.Errorf(hub.ArgumentInvalid, "a property has no name")
		case strings.HasPrefix(name, "$."), strings.HasPrefix(strings.ToLower(name), "iothub-"):
			return hub.Errorf(hub.ArgumentInvalid, "the property %.64q has a name that belongs to IoT Hub", name)
		case !utf8.ValidString(name), !utf8.ValidString(value):
			return hub.Errorf(hub.ArgumentInvalid, "the property %.64q is not UTF-8", name)
		}
	}
	return nil
}

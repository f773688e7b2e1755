package c2d

import (
	"strconv"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Limits are the numbers of a hub. A zero field means IoT Hub's.
type Limits struct {
	// Deliveries is how often a message is delivered in vain at most: 10.
	Deliveries int
	// Lock is how long a delivery may stay unacknowledged: 60 s.
	Lock time.Duration
	// Window is how many deliveries of a device may be unacknowledged: 16.
	Window int
	// Depth is how many messages may wait for a device: [MaxDepth]. The store of
	// the queues holds it.
	Depth int
	// Size is how many bytes a message may have: [MaxSize].
	Size int
	// DefaultTTL is how long a message lives that does not say, and MaxTTL how
	// long any message does.
	DefaultTTL, MaxTTL time.Duration
}

func (l Limits) deliveries() int {
	if l.Deliveries > 0 {
		return l.Deliveries
	}
	return 10
}

func (l Limits) lock() time.Duration {
	if l.Lock > 0 {
		return l.Lock
	}
	return time.Minute
}

func (l Limits) window() int {
	if l.Window > 0 {
		return l.Window
	}
	return 16
}

// MaxSize is how many bytes a message may have.
func (l Limits) MaxSize() int {
	if l.Size > 0 {
		return l.Size
	}
	return MaxSize
}

// Longest is how long any message lives.
func (l Limits) Longest() time.Duration {
	if l.MaxTTL > 0 {
		return l.MaxTTL
	}
	return MaxTTL
}

func (l Limits) defaultTTL() time.Duration {
	if l.DefaultTTL > 0 {
		return l.DefaultTTL
	}
	return DefaultTTL
}

// Deadline is when a message expires.
func (l Limits) Deadline(m *Message) time.Time {
	if m.Expires.IsZero() {
		return m.Enqueued.Add(l.defaultTTL())
	}
	return m.Expires
}

// Validate reports, as *hub.Error, what keeps a message from being delivered:
// ArgumentInvalid, MessageTooLarge or InvalidExpiry. enqueued is when it was
// or will be stored. It does not look whether the device exists.
func (l Limits) Validate(m *Message, enqueued time.Time) error {
	switch {
	case m.Fault != nil:
		return m.Fault
	case !hub.ValidID(m.Device):
		return hub.Errorf(hub.ArgumentInvalid, "%.140q is not the id of a device", m.Device)
	case !m.Ack.valid():
		return hub.Errorf(hub.ArgumentInvalid, "iothub-ack is %.32q: it must be none, positive, negative or full", string(m.Ack))
	case !m.Expires.IsZero() && m.Expires.After(enqueued.Add(l.Longest()+time.Minute)):
		return hub.Errorf(hub.InvalidExpiry, "the message would expire %v after it was sent; the limit is %v", m.Expires.Sub(enqueued).Round(time.Second), l.Longest())
	case len(m.MessageID) > maxID:
		return hub.Errorf(hub.ArgumentInvalid, "the message id has %d bytes; the limit is %d", len(m.MessageID), maxID)
	case m.Size() > l.MaxSize():
		return hub.Errorf(hub.MessageTooLarge, "the message has %d bytes with its properties; the limit is %d", m.Size(), l.MaxSize())
	}
	if err := m.validateText(); err != nil {
		return err
	}
	if m.topicBound() <= maxTopic { // nearly always: there is no need to write it
		return nil
	}
	if n := len(m.Topic()); n > maxTopic {
		return hub.Errorf(hub.MessageTooLarge, "the properties make a topic of %d bytes; MQTT's limit is %d", n, maxTopic)
	}
	return nil
}

// The names under which the stream of the queues tells senders the limits.
const (
	keySize       = "hubgate-c2d-max-size" // bytes
	keyDefaultTTL = "hubgate-c2d-default-ttl"
	keyMaxTTL     = "hubgate-c2d-max-ttl"
)

// Metadata is what a sender has to know of the limits.
func (l Limits) Metadata() map[string]string {
	return map[string]string{
		keySize: strconv.Itoa(l.MaxSize()), keyDefaultTTL: l.defaultTTL().String(), keyMaxTTL: l.Longest().String(),
	}
}

// ParseMetadata is the inverse of [Limits.Metadata]. What is missing or can't be
// read is IoT Hub's.
func ParseMetadata(metadata map[string]string) Limits {
	size, _ := strconv.Atoi(metadata[keySize])
	ttl, _ := time.ParseDuration(metadata[keyDefaultTTL])
	longest, _ := time.ParseDuration(metadata[keyMaxTTL])
	return Limits{Size: max(size, 0), DefaultTTL: max(ttl, 0), MaxTTL: max(longest, 0)}
}

package session

import (
	"encoding/json"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// What IoT Hub calls the parts of a connection event: the annotation
// iothub-message-source, and the properties iothub-message-schema and opType
// (Microsoft's page "non-telemetry event schemas").
const (
	EventSource        = "deviceConnectionStateEvents"
	EventSchema        = "deviceConnectionStateNotification"
	DeviceConnected    = "deviceConnected"    // of modules too
	DeviceDisconnected = "deviceDisconnected" // of modules too
)

// Event is the beginning or the end of a connection. Its JSON is the body of
// IoT Hub's event, which has the sequence number alone, and what Hubgate knows
// besides.
type Event struct {
	ID          hub.Identity
	Connected   bool
	Time        time.Time
	Epoch       uint64 // of the ownership that the connection had
	Node        string
	Connection  string // the connection's name, unique in the hub
	Remote      string // address and port of the client
	ClientAgent string // what the client calls itself; may be empty

	// Of an end.
	Reason   string
	Code     hub.Code // 0: by DISCONNECT
	Duration time.Duration
}

// Events takes connection events for the stream of events.
type Events interface {
	// Connection queues e and does not wait for the store, which gets it at
	// least once. It may be called from any goroutine.
	Connection(e Event)
}

// Type is IoT Hub's opType of the event.
func (e Event) Type() string {
	if e.Connected {
		return DeviceConnected
	}
	return DeviceDisconnected
}

// SequenceNumber orders the events of one identity: compared as text, the
// later event has the greater one. It has 64 hexadecimal digits, as IoT Hub's.
func (e Event) SequenceNumber() string {
	const (
		length = 64
		epoch  = 48 // where that ends
	)
	var number [length]byte
	for i := range number {
		number[i] = '0'
	}
	for i, n := epoch-1, e.Epoch; n > 0; i, n = i-1, n>>4 {
		number[i] = "0123456789ABCDEF"[n&0xF]
	}
	if !e.Connected {
		number[length-1] = '1'
	}
	return string(number[:])
}

// MarshalJSON implements json.Marshaler.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		SequenceNumber string   `json:"sequenceNumber"`
		Node           string   `json:"node,omitempty"`
		Connection     string   `json:"connection,omitempty"`
		Remote         string   `json:"remote,omitempty"`
		ClientAgent    string   `json:"clientAgent,omitempty"`
		Reason         string   `json:"reason,omitempty"`
		Code           hub.Code `json:"errorCode,omitempty"`
		Duration       float64  `json:"durationSeconds,omitempty"`
	}{
		e.SequenceNumber(), e.Node, e.Connection, e.Remote, e.ClientAgent,
		e.Reason, e.Code, e.Duration.Seconds(),
	})
}

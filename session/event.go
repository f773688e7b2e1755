package session

import (
	"fmt"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// What IoT Hub calls the parts of a connection event, in its message
// annotations and properties (Microsoft's page on non-telemetry events).
const (
	EventSource        = "deviceConnectionStateEvents"
	EventSchema        = "deviceConnectionStateNotification"
	DeviceConnected    = "deviceConnected"
	DeviceDisconnected = "deviceDisconnected"
	ModuleConnected    = "moduleConnected"
	ModuleDisconnected = "moduleDisconnected"
)

// Event is the beginning or the end of a connection.
type Event struct {
	ID          hub.Identity
	Connected   bool
	Time        time.Time
	Epoch       uint64 // of the ownership that the connection had
	Node        string
	Connection  string
	Remote      string
	ClientAgent string

	// Of an end.
	Reason   string
	Code     hub.Code // 0: by DISCONNECT
	Duration time.Duration
}

// Events takes connection events for the stream of events. Connection does
// not wait for the store.
type Events interface {
	Connection(e Event)
}

// Type is IoT Hub's opType of the event.
func (e Event) Type() string {
	switch {
	case e.ID.IsModule() && e.Connected:
		return ModuleConnected
	case e.ID.IsModule():
		return ModuleDisconnected
	case e.Connected:
		return DeviceConnected
	default:
		return DeviceDisconnected
	}
}

// SequenceNumber orders the events of one identity: as text, the later event
// has the greater one. IoT Hub prints it in hexadecimal too.
func (e Event) SequenceNumber() string {
	end := 1
	if e.Connected {
		end = 0
	}
	return fmt.Sprintf("%032X%01X", e.Epoch, end)
}

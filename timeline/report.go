package timeline

import (
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Report says why a device or module is, or was, not served. Its JSON is the
// answer on hub.why.{device}[.{module}].
type Report struct {
	DeviceID     string `json:"deviceId"`
	ModuleID     string `json:"moduleId,omitempty"`
	Registered   bool   `json:"registered"` // false: somebody only calls himself so
	Status       string `json:"status,omitempty"`
	StatusReason string `json:"statusReason,omitempty"`
	// Connection is the one that there is, or else the last one; nil when there
	// has been none.
	Connection *Connection `json:"connection,omitempty"`
	Entries    []Entry     `json:"entries"` // the oldest first
}

// Connection is what a report says of a connection.
type Connection struct {
	Connected   bool      `json:"connected"`
	Node        string    `json:"node"`
	Remote      string    `json:"remote"` // address and port of the client
	ClientAgent string    `json:"clientAgent,omitempty"`
	Since       time.Time `json:"since"`

	// Of one that has ended.
	Ended  time.Time `json:"ended,omitzero"`
	Reason string    `json:"reason,omitempty"`
	Code   hub.Code  `json:"errorCode,omitempty"` // 0: by DISCONNECT
}

// AddressReport is the same for an address. Its JSON is the answer on
// hub.why-address.{address}.
type AddressReport struct {
	Address string  `json:"address"` // or the IPv6 network that it belongs to
	Entries []Entry `json:"entries"` // the oldest first
}

package methods

import (
	"context"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
)

// IoT Hub's limits and defaults (Microsoft's page on direct methods).
const (
	MaxPayload             = 128 << 10 // bytes, each way
	MaxName                = 128       // bytes
	DefaultResponseTimeout = 30 * time.Second
	MinResponseTimeout     = 5 * time.Second
	MaxResponseTimeout     = 300 * time.Second
	MaxConnectTimeout      = 300 * time.Second
)

// Call is one invocation of a direct method.
type Call struct {
	ID              hub.Identity
	Method          string
	Payload         []byte        // JSON; null when there is none
	ConnectTimeout  time.Duration // how long a device that is not connected is waited for
	ResponseTimeout time.Duration // how long its answer is; 0 means the default
	Trace           span.Context  // that the call belongs to; may be none
}

// Answer is what a device said.
type Answer struct {
	Status  int    // any number; 200 by convention
	Payload []byte // as the device sent it; may be empty, or no JSON
}

// Local calls devices that are connected to this node.
type Local interface {
	// Invoke sends the call to the device and waits for its answer until ctx
	// ends. It fails with DeviceNotOnline when the device is not connected here
	// or has not subscribed to methods, with GatewayTimeout when ctx ends, and
	// with ConnectionLost when the connection does.
	Invoke(ctx context.Context, c Call) (Answer, error)
}

// Complete fills in defaults, and fails with ArgumentInvalid when c breaks a
// rule.
func (c *Call) Complete() error {
	if err := checkName(c.Method); err != nil {
		return err
	}
	if len(c.Payload) == 0 {
		c.Payload = []byte("null") // an empty payload makes Node answer 400 by itself
	}
	if len(c.Payload) > MaxPayload {
		return hub.Errorf(hub.MessageTooLarge, "the payload has %d bytes; a method takes %d", len(c.Payload), MaxPayload)
	}
	if !utf8.Valid(c.Payload) { // which json.Valid lets pass, and some SDK fails at
		return hub.Errorf(hub.ArgumentInvalid, "the payload is not JSON: it is not UTF-8")
	}
	if !json.Valid(c.Payload) {
		return hub.Errorf(hub.ArgumentInvalid, "the payload is not JSON")
	}
	if c.ResponseTimeout == 0 {
		c.ResponseTimeout = DefaultResponseTimeout
	}
	if c.ResponseTimeout < MinResponseTimeout || c.ResponseTimeout > MaxResponseTimeout {
		return hub.Errorf(hub.ArgumentInvalid, "the response timeout is %v; it may be %v to %v", c.ResponseTimeout, MinResponseTimeout, MaxResponseTimeout)
	}
	if c.ConnectTimeout < 0 || c.ConnectTimeout > MaxConnectTimeout {
		return hub.Errorf(hub.ArgumentInvalid, "the connect timeout is %v; it may be 0 to %v", c.ConnectTimeout, MaxConnectTimeout)
	}
	return nil
}

// checkName refuses names that can't stand in a topic, or that SDKs would read
// differently: they do not agree on whether to decode one.
func checkName(name string) error {
	if name == "" || len(name) > MaxName {
		return hub.Errorf(hub.ArgumentInvalid, "the method name has %d bytes; it may have 1 to %d", len(name), MaxName)
	}
	for _, c := range name {
		switch {
		case c <= ' ' || c >= 0x7F, c == '/', c == '?', c == '#', c == '+', c == '%', c == '&':
			return hub.Errorf(hub.ArgumentInvalid, "the method name may not hold %q: use printable ASCII without space / ? # + %% &", c)
		}
	}
	return nil
}

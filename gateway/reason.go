package gateway

import (
	"errors"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// Why connections end. They are constants in all but name.
var (
	errDisconnected  = errors.New("the client sent DISCONNECT")
	errNoSocket      = errors.New("the listener's connections are not sockets")
	errShutdown      = hub.Errorf(hub.ServiceUnavailable, "the gateway is shutting down")
	errReplaced      = hub.Errorf(hub.ConnectionReplaced, session.TakenOver)
	errFenced        = hub.Errorf(hub.ServiceUnavailable, "the other nodes took this one for dead, because it stood still or was cut off, and have ended the connection")
	errExpired       = hub.Errorf(hub.Unauthorized, "the client's credentials expired during the connection")
	errSlowReader    = hub.Errorf(hub.ConnectionLost, "the client does not read what it is sent")
	errLateHandshake = hub.Errorf(hub.ConnectionLost, "the TLS handshake was not finished in time")
	errCrowded       = hub.Errorf(hub.Throttled, "too many peers have begun a handshake and not finished it; the one who has waited longest had to go")
	errBoxed         = hub.Errorf(hub.Throttled, "too many clients with bad credentials came from this address; it is refused for a while")
	errRepeated      = hub.Errorf(hub.Throttled, "the client was refused too often for bad credentials; at this address it is refused for a while without looking at them")
	errBusy          = hub.Errorf(hub.Throttled, "the gateway has as many connections as it is allowed to")
)

// pingresp is PINGRESP in every version of MQTT.
//
//nolint:gochecknoglobals // a constant
var pingresp = []byte{0xD0, 0x00}

// same reports whether cause is exactly target: errors.Is would take any error
// of the same code for it.
func same(cause, target error) bool {
	return cause == target //nolint:errorlint // see above
}

// protocolError turns what the codec says into the reason of an end.
func protocolError(err error) error {
	if errors.Is(err, mqtt.ErrTooLarge) {
		return hub.Errorf(hub.MessageTooLarge, "%w", err)
	}
	return hub.Errorf(hub.GenericBadRequest, "%w", err)
}

// writeFailed turns a failed write into the reason of an end.
func writeFailed(err error) error {
	return hub.Errorf(hub.ConnectionLost, "write to the client: %w", err)
}

// sentence is what events and sessions say of a cause.
func sentence(cause error) string {
	if e, ok := errors.AsType[*hub.Error](cause); ok {
		return e.Message
	}
	return cause.Error()
}

// codeOf is the code of a cause; 0 for an orderly end.
func codeOf(cause error) hub.Code {
	if same(cause, errDisconnected) {
		return 0
	}
	return hub.CodeOf(cause)
}

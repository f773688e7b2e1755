package rest

import (
	"context"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/span"
)

// Invoker calls devices.
type Invoker interface {
	// Invoke takes a call to its device and waits for the answer until ctx ends
	// or the call's own timeouts do; see [methods.Invoker.Invoke].
	Invoke(ctx context.Context, c methods.Call) (methods.Answer, error)
}

const (
	// methodTime is for the longest of both timeouts, and what is around them.
	methodTime = methods.MaxConnectTimeout + methods.MaxResponseTimeout + 30*time.Second
	// early is how much before the end of its timeouts a call is given up: some
	// SDKs wait just as long, and then nobody hears the answer.
	early = 250 * time.Millisecond
)

// methodCall is the body of a call.
type methodCall struct {
	Method          string         `json:"methodName"`
	Payload         jsontext.Value `json:"payload"`
	ResponseSeconds *int           `json:"responseTimeoutInSeconds"`
	ConnectSeconds  *int           `json:"connectTimeoutInSeconds"`
}

// invokeMethod answers POST /twins/{id}[/modules/{mid}]/methods.
func (s *Server) invokeMethod(c *call) (reply, error) {
	var m methodCall
	if err := c.checkID(); err != nil {
		return reply{}, err
	}
	if err := c.decode(maxBody, &m); err != nil {
		return reply{}, err
	}
	if m.Method == "" {
		return reply{}, hub.Errorf(hub.ArgumentNull, "the call has no methodName")
	}
	response, err := seconds("responseTimeoutInSeconds", m.ResponseSeconds)
	if err != nil {
		return reply{}, err
	}
	connect, err := seconds("connectTimeoutInSeconds", m.ConnectSeconds)
	if err != nil {
		return reply{}, err
	}
	a, err := s.invoke(c, methods.Call{Method: m.Method, Payload: m.Payload, ResponseTimeout: response, ConnectTimeout: connect})
	if err != nil {
		return reply{}, err
	}
	body := append([]byte(`{"status":`), strconv.Itoa(a.Status)...)
	body = append(append(body, `,"payload":`...), a.Payload...)
	return reply{body: append(body, '}')}, nil
}

// seconds makes a duration of a number of seconds, which may be missing.
func seconds(name string, n *int) (time.Duration, error) {
	const most = 300
	switch {
	case n == nil:
		return 0, nil
	case *n < 0 || *n > most:
		return 0, hub.Errorf(hub.ArgumentInvalid, "%s is %d; it may be up to %d", name, *n, most)
	}
	return time.Duration(*n) * time.Second, nil
}

// invoke calls the device or module of the path. The answer has a payload that
// is JSON. When the client goes away, nobody waits for the device any more.
func (s *Server) invoke(c *call, m methods.Call) (methods.Answer, error) {
	m.ID, m.Trace = c.id, span.Of(c.r.Header)
	if err := m.Complete(); err != nil {
		return methods.Answer{}, err
	}
	if m.ConnectTimeout > m.ResponseTimeout {
		return methods.Answer{}, hub.Errorf(hub.ArgumentInvalid, "Device connection timeout %v cannot be longer than an overall call timeout %v", m.ConnectTimeout, m.ResponseTimeout)
	}
	ctx, cancel := context.WithTimeout(c.ctx(), m.ConnectTimeout+m.ResponseTimeout-early)
	defer cancel()
	a, err := s.Methods.Invoke(ctx, m)
	if err != nil {
		return methods.Answer{}, c.methodFault(err)
	}
	if len(a.Payload) == 0 {
		a.Payload = []byte("null")
	}
	if !json.Valid(a.Payload) || !utf8.Valid(a.Payload) {
		return methods.Answer{}, hub.Errorf(hub.BadDeviceAnswer, "%s has answered with the status %d and a payload that is not JSON", c.id, a.Status)
	}
	return a, nil
}

// methodFault makes of an error what IoT Hub says to who has called.
func (c *call) methodFault(err error) error {
	switch hub.CodeOf(err) {
	case hub.ModuleNotFound:
		return hub.Errorf(hub.DeviceNotFound, "%w", err)
	case hub.GatewayTimeout:
		return hub.Errorf(hub.GatewayTimeout, "Timed out waiting for the response from device: %w", err)
	default:
		return err
	}
}

package iothub

import (
	"bytes"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/telemetry"
)

// maxWillHeaders is how long the headers of a message in JetStream may be, less
// what is added to those of a will.
const maxWillHeaders = 64<<10 - 1<<10

// will takes the will message out of CONNECT. It must be telemetry of the
// connection's own identity, and becomes what is to be stored: whoever sends it
// may be another node.
func (h *handler) will(c *mqtt.Connect) (*session.Will, error) {
	if c.Will == nil {
		return nil, nil
	}
	if c.Will.QoS > 1 {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the will has QoS 2: only QoS 0 and 1 are supported")
	}
	bag, err := eventsBag(c.Will.Topic, h.id)
	if err != nil {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the will: %w", err)
	}
	m := h.face.messages.get()
	defer h.face.messages.put(m)
	if err := h.decode(event{bag: bag, body: c.Will.Payload, retain: c.Will.Retain}, m); err != nil {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the will: %w", err)
	}
	m.AddProperty("iothub-MessageType", "Will")
	return willOf(m)
}

func willOf(m *telemetry.Message) (*session.Will, error) {
	var headers telemetry.Headers
	m.Headers(&headers)
	w, size := &session.Will{Body: bytes.Clone(m.Body)}, 0
	for i := range headers.Len() {
		name, value := headers.At(i)
		w.Headers = append(w.Headers, [2]string{string(name), string(value)})
		size += len(name) + len(value) + len(": \r\n")
	}
	if size > maxWillHeaders {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the will: its properties take %d bytes as headers; the limit is %d", size, maxWillHeaders)
	}
	return w, nil
}

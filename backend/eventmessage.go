package backend

import (
	"encoding/json"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/internal/plainjson"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/telemetry"
)

// ConnectionMessage is the message by which the beginning or the end of a
// connection gets into the stream of events, for who tells it without a node.
func ConnectionMessage(names subject.Names, hostName string, e session.Event) (*nats.Msg, error) {
	v := &Events{names: names, hub: Config{HostName: hostName}.hubName()}
	n, err := v.connection(e)
	if err != nil {
		return nil, hub.Errorf(hub.ServerError, "write the event of %s as JSON: %w", e.ID, err)
	}
	return n.message(), nil
}

// message is the event as nats.go publishes it.
func (n *notice) message() *nats.Msg {
	var h telemetry.Headers
	n.headers(&h)
	m := nats.NewMsg(n.subject)
	m.Data = n.body
	for i := range h.Len() {
		name, value := h.At(i)
		m.Header[string(name)] = []string{string(value)}
	}
	return m
}

// eventBody is the JSON of an event.
func eventBody(e session.Event) ([]byte, error) {
	const room = 256
	w := plainjson.Write(make([]byte, 0, room))
	w.Text("sequenceNumber", e.SequenceNumber())
	w.TextIfAny("node", e.Node)
	w.TextIfAny("connection", e.Connection)
	w.TextIfAny("remote", e.Remote)
	w.TextIfAny("clientAgent", e.ClientAgent)
	w.TextIfAny("reason", e.Reason)
	w.IntIfAny("errorCode", int64(e.Code))
	w.FloatIfAny("durationSeconds", e.Duration.Seconds())
	if text, ok := w.Done(); ok {
		return text, nil
	}
	return json.Marshal(e)
}

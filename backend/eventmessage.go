package backend

import (
	"encoding/json"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/internal/plainjson"
	"github.com/hubgate/hubgate/session"
)

// ConnectionMessage is the message by which the beginning or the end of a
// connection gets into the stream of events, for who tells it without a node.
func ConnectionMessage(names subject.Names, hostName string, e session.Event) (*nats.Msg, error) {
	body, err := eventBody(e)
	if err != nil {
		return nil, hub.Errorf(hub.ServerError, "write the event of %s as JSON: %w", e.ID, err)
	}
	v := &Events{hub: Config{HostName: hostName}.hubName()}
	m := nats.NewMsg(names.ConnectionEvent(e.ID))
	m.Data = body
	for _, h := range v.headers(e.ID, e.Time, kind{session.EventSource, session.EventSchema, e.Type()}) {
		m.Header.Add(h[0], h[1])
	}
	return m, nil
}

// eventBody is the JSON of an event.
func eventBody(e session.Event) ([]byte, error) {
	const room = 256
	w := plainjson.Write(room)
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

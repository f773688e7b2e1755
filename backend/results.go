package backend

import (
	"context"
	"maps"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// results delivers what became of commands: to the stream HUB_EVENTS always,
// and to the subject that the caller named.
type results struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	events *Events
	// failed hears of commands that the device has not answered; nil: nobody.
	failed func(id hub.Identity, method string, err error)
}

var _ methods.Results = (*results)(nil)

// Deliver implements [methods.Results]. The event is stored when it returns.
func (r *results) Deliver(ctx context.Context, c methods.Command) error {
	header := nats.Header(c.ResultHeaders())
	if c.Result.Outcome != methods.Answered {
		header.Set(micro.ErrorCodeHeader, strconv.Itoa(int(c.Result.Code)))
		header.Set(micro.ErrorHeader, c.Result.Message)
	}
	if c.ReplyTo != "" {
		m := &nats.Msg{Subject: c.ReplyTo, Header: header, Data: c.Result.Payload}
		if err := r.nc.PublishMsg(m); err != nil {
			return hub.Errorf(hub.ServiceUnavailable, "publish the result of command %s: %w", c.ID, err)
		}
	}
	n := &notice{
		events: r.events, id: c.For, subject: r.events.names.CommandEvent(c.For), body: c.Result.Payload,
		at: c.Result.Time, kind: kind{"commandEvents", "commandNotification", "command" + capital(c.Result.Outcome)},
	}
	event := n.message()
	own := event.Header
	event.Header = maps.Clone(header)
	maps.Copy(event.Header, own)
	// JetStream's answer comes on the same connection: the server has the
	// message to ReplyTo too by then.
	if _, err := r.js.PublishMsg(ctx, event); err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "store the result of command %s: %w", c.ID, err)
	}
	if r.failed != nil && c.Result.Outcome != methods.Answered && c.Result.Outcome != methods.Cancelled {
		r.failed(c.For, c.Method, &hub.Error{Code: c.Result.Code, Message: c.Result.Message})
	}
	return nil
}

// capital is the outcome as it stands in IoT Hub's opType.
func capital(o methods.Outcome) string { return string(o[0]-'a'+'A') + string(o[1:]) }

package backend

import (
	"context"
	"errors"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// relay is what nodes say to each other about direct methods.
type relay struct {
	nc    *nats.Conn
	names subject.Names
}

var (
	_ methods.Remote   = (*relay)(nil)
	_ methods.Arrivals = (*relay)(nil)
	_ methods.Presence = (*SessionStore)(nil)
	_ methods.Devices  = (*DeviceStore)(nil)
)

// Owner implements [methods.Presence].
func (s *SessionStore) Owner(ctx context.Context, id hub.Identity) (string, error) {
	got, err := s.read(ctx, id)
	if err != nil || !got.Connected {
		return "", err
	}
	return got.Node, nil
}

// Generation implements [methods.Devices] and [c2d.Devices].
func (d *DeviceStore) Generation(ctx context.Context, id hub.Identity) (string, error) {
	r, err := d.Get(ctx, id)
	return r.GenerationID, err
}

// InvokeAt implements [methods.Remote].
func (r *relay) InvokeAt(ctx context.Context, node string, c methods.Call) (methods.Answer, error) {
	m := &nats.Msg{Subject: r.names.NodeMethod(node), Header: c.CallHeaders(), Data: c.Payload}
	reply, err := r.nc.RequestMsgWithContext(ctx, m)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return methods.Answer{}, hub.Errorf(hub.DeviceNotOnline, "%s was connected to the node %s, which is gone", c.ID, node)
	case errors.Is(ctx.Err(), context.Canceled):
		return methods.Answer{}, hub.Errorf(hub.ConnectionLost, "this node was stopped before %s answered", c.ID)
	case ctx.Err() != nil:
		return methods.Answer{}, hub.Errorf(hub.GatewayTimeout, "the node %s, to which %s is connected, has not answered in time", node, c.ID)
	case err != nil && !r.nc.IsConnected():
		return methods.Answer{}, hub.Errorf(hub.ConnectionLost, "the connection to NATS was lost before %s answered: %w", c.ID, err)
	case err != nil:
		return methods.Answer{}, hub.Errorf(hub.ServiceUnavailable, "ask the node %s to call %s: %w", node, c.ID, err)
	}
	if err := refusalOf(reply); err != nil {
		return methods.Answer{}, err
	}
	a, ok := methods.ParseAnswer(reply.Header, reply.Data)
	if !ok {
		return methods.Answer{}, hub.Errorf(hub.ServerError, "the node %s gave no status for %s", node, c.ID)
	}
	return a, nil
}

// refusalOf is the error in a reply, nil when there is none.
func refusalOf(m *nats.Msg) error {
	text := m.Header.Get(micro.ErrorCodeHeader)
	if text == "" {
		return nil
	}
	code, err := strconv.Atoi(text)
	if err != nil {
		code = int(hub.ServerError)
	}
	return &hub.Error{Code: hub.Code(code), Message: m.Header.Get(micro.ErrorHeader)}
}

// Arrivals implements [methods.Arrivals].
func (r *relay) Arrivals(ctx context.Context, id hub.Identity) (arrived <-chan struct{}, stop func(), err error) {
	c := make(chan struct{}, 1)
	sub, err := r.nc.Subscribe(r.names.Callable(id), func(*nats.Msg) {
		select {
		case c <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, nil, hub.Errorf(hub.ServiceUnavailable, "wait for %s: %w", id, err)
	}
	stop = func() { _ = sub.Unsubscribe() }
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := r.nc.FlushWithContext(ctx); err != nil {
		stop()
		return nil, nil, hub.Errorf(hub.ServiceUnavailable, "wait for %s: %w", id, err)
	}
	return c, stop, nil
}

// announce tells the other nodes that id can be called.
func (r *relay) announce(id hub.Identity) error { return r.nc.Publish(r.names.Callable(id), nil) }

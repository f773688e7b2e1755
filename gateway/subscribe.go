package gateway

import (
	"context"
	"errors"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// maxSubscriptions bounds the filters of one session. The faces' own topics
// are fewer; the rest are filters of single direct methods.
const maxSubscriptions = 50

// handleSubscribe answers every filter with one code [MQTT3-3.8.4-5], after a
// persistent session has been stored: the SDKs subscribe once and rely on it
// ever after.
func (c *conn) handleSubscribe(p *mqtt.Subscribe) error {
	codes := make([]byte, 0, len(p.Filters))
	changed := false
	for _, f := range p.Filters {
		code, isNew := c.subscribe(string(f.Topic), f.QoS)
		codes = append(codes, code)
		changed = changed || isNew
	}
	if changed {
		if err := c.saveSession(); err != nil {
			return err
		}
	}
	if err := c.reply(&mqtt.Suback{ID: p.ID, Codes: codes}); err != nil {
		return err
	}
	if out, ok := c.handler.(Outbound); ok {
		out.Subscribed()
	}
	return nil
}

// subscribe enters one filter; isNew says that the session has changed.
func (c *conn) subscribe(filter string, qos byte) (code byte, isNew bool) {
	granted, err := c.handler.Grant(filter, qos)
	old, known := c.session.Find(filter)
	if err == nil && !known && len(c.session.Subscriptions) >= maxSubscriptions {
		err = hub.Errorf(hub.QuotaExceeded, "the session has %d subscriptions already", maxSubscriptions)
	}
	if err != nil {
		c.srv.refusedFilter(c, filter, err)
		return mqtt.SubackFailure, false
	}
	if known && old.QoS == granted {
		return granted, false
	}
	c.mu.Lock()
	c.session.Subscribe(session.Subscription{Filter: filter, QoS: granted})
	c.mu.Unlock()
	return granted, true
}

// handleUnsubscribe always answers [MQTT3-3.10.4-5].
func (c *conn) handleUnsubscribe(p *mqtt.Unsubscribe) error {
	changed := false
	c.mu.Lock()
	for _, f := range p.Filters {
		if c.session.Unsubscribe(string(f)) {
			changed = true
		}
	}
	c.mu.Unlock()
	if changed {
		if err := c.saveSession(); err != nil {
			return err
		}
	}
	return c.reply(&mqtt.Unsuback{ID: p.ID})
}

// saveSession stores a persistent session. The error says why the connection
// can't go on: a client that is told of a subscription must be able to rely on
// it.
func (c *conn) saveSession() error {
	if !c.session.Persistent {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	err := c.srv.Sessions.Save(ctx, &c.session)
	if errors.Is(err, &hub.Error{Code: hub.ConnectionReplaced}) {
		return errReplaced
	}
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "store the session: %w", err)
	}
	return nil
}

// reply queues a packet.
func (c *conn) reply(p mqtt.Packet) error {
	b, err := p.Append(nil, c.version)
	if err != nil {
		return hub.Errorf(hub.ServerError, "encode %s: %w", p.Type(), err)
	}
	return c.enqueue(b)
}

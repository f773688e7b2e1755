package gateway

import (
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// maxUnacked is how many messages may wait for a client's PUBACK.
const maxUnacked = 256

// unacked is the packet identifiers of the messages that were sent with QoS 1
// and not acknowledged.
type unacked struct {
	ids  map[uint16]struct{} // nil until the first
	last uint16
}

// take returns an identifier that is not in use [MQTT3-2.3.1-4]; false when
// too many are.
func (u *unacked) take() (uint16, bool) {
	if len(u.ids) >= maxUnacked {
		return 0, false
	}
	if u.ids == nil {
		u.ids = make(map[uint16]struct{})
	}
	for {
		u.last++
		if _, used := u.ids[u.last]; u.last != 0 && !used {
			u.ids[u.last] = struct{}{}
			return u.last, true
		}
	}
}

// give takes an identifier back and reports whether it was in use.
func (u *unacked) give(id uint16) bool {
	_, used := u.ids[id]
	delete(u.ids, id)
	return used
}

// Send implements [Link].
func (c *conn) Send(m Message) (id uint16, err error) {
	if m.QoS > 0 {
		if id, err = c.takeID(); err != nil {
			return 0, err
		}
	}
	p := mqtt.Publish{QoS: m.QoS, Dup: m.Dup && m.QoS > 0, ID: id, Topic: []byte(m.Topic), Payload: m.Payload}
	b, err := p.Append(nil, c.version)
	if err != nil {
		c.giveID(id)
		return 0, hub.Errorf(hub.ServerError, "encode a message to %s: %w", c.session.ID, err)
	}
	return id, c.enqueue(b)
}

func (c *conn) takeID() (uint16, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.sent.take()
	if !ok {
		return 0, hub.Errorf(hub.QuotaExceeded, "%s has not acknowledged %d messages", c.session.ID, maxUnacked)
	}
	return id, nil
}

func (c *conn) giveID(id uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent.give(id)
}

// Subscription implements [Link].
func (c *conn) Subscription(filter string) (qos byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sub, ok := c.session.Find(filter)
	return sub.QoS, ok
}

// Epoch implements [Link].
func (c *conn) Epoch() uint64 { return c.session.Epoch }

// Stop implements [Link].
func (c *conn) Stop(cause error) { c.stop(cause) }

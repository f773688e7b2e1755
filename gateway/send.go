package gateway

import (
	"math"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// maxUnacked is how many messages may wait for a client's PUBACK.
const maxUnacked = 256

// FirstFixedID is the first of the packet identifiers that belong to messages
// which name theirs; see [Message].
const FirstFixedID = 1 << 15

// unacked is the packet identifiers of the messages that were sent with QoS 1
// and not acknowledged.
type unacked struct {
	ids  map[uint16]struct{} // nil until the first
	last uint16
}

// take returns an identifier that is not in use [MQTT3-2.3.1-4], or the fixed
// one: who names that sees to it that only the same message has it. It returns
// false when too many are in use.
func (u *unacked) take(fixed uint16) (uint16, bool) {
	if _, again := u.ids[fixed]; again {
		return fixed, true
	}
	if len(u.ids) >= maxUnacked {
		return 0, false
	}
	if u.ids == nil {
		u.ids = make(map[uint16]struct{})
	}
	id := fixed
	for used := id == 0; used; {
		u.last = u.last%(FirstFixedID-1) + 1
		id = u.last
		_, used = u.ids[id]
	}
	u.ids[id] = struct{}{}
	return id, true
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
		if id, err = c.takeID(m.PacketID); err != nil {
			return 0, err
		}
	}
	p := mqtt.Publish{QoS: m.QoS, Dup: m.Dup && m.QoS > 0, ID: id, Topic: []byte(m.Topic), Payload: m.Payload}
	b, err := p.Append(nil, c.version)
	if err != nil {
		c.giveID(id)
		return 0, hub.Errorf(hub.ServerError, "encode a message to %s: %w", c.session.ID, err)
	}
	most := math.MaxInt
	if m.Yields {
		most = maxOffered
	}
	if err := c.queue(b, most); err != nil {
		if m.PacketID == 0 { // a message that names its own may have been sent before
			c.giveID(id)
		}
		return 0, err
	}
	c.srv.counts.sent.Add(1)
	return id, nil
}

func (c *conn) takeID(fixed uint16) (uint16, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.sent.take(fixed)
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

// Resumed implements [Link].
func (c *conn) Resumed() (resumed, cut bool) { return c.session.Resumed, c.session.Cut }

// Epoch implements [Link].
func (c *conn) Epoch() (epoch uint64, contested bool) { return c.session.Epoch, c.session.Contested }

// Stop implements [Link].
func (c *conn) Stop(cause error) { c.stop(cause) }

package gateway

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// packetsPerTurn is how many packets one connection may have handled, while more
// wait, before others get their turn.
const packetsPerTurn = 16

// readLoop reads and handles packets, and returns why it ends, or errLater when a
// watched connection has nothing more to read, or errHalted. It owns the protocol state.
// While the connection idles it holds no buffer.
func (c *conn) readLoop() (err error) {
	buffers := &c.srv.inboxes
	defer func() {
		over := !errors.Is(err, errLater) && !errors.Is(err, errHalted)
		if c.inbox != nil && (len(c.inbox.unread()) == 0 || over) {
			buffers.put(c.inbox)
			c.inbox = nil
		}
	}()
	c.rejoin()
	for {
		if c.unhandled {
			c.unhandled = false
			if err := c.handleRead(); err != nil {
				return err
			}
		}
		c.inbox, err = c.src.fill(c.inbox, buffers)
		switch {
		case errors.Is(err, errLater) && !c.watch.late.Load():
			c.handled = 0
			return err
		case err != nil:
			return c.readFailed(err)
		}
		c.unhandled, c.came = c.inbox != nil, c.srv.ticks()
		if c.src.rested() {
			c.handled = 0
		}
	}
}

// handleRead handles what was read, and charges it.
func (c *conn) handleRead() error {
	in := c.inbox
	err := c.handleAll(in)
	if errors.Is(err, errHalted) {
		c.unhandled = true
		return err
	}
	read := in.batch
	c.srv.counts.read(read)
	if err != nil {
		return err
	}
	in.batch = batch{}
	if len(in.unread()) == 0 {
		c.srv.inboxes.put(in)
		c.inbox = nil
	}
	c.holdInput(c.inbox)
	if err := c.throttle(read); err != nil {
		return err
	}
	// Moving a deadline costs as much as a small read, so it is moved on only when it
	// is due; silence ends the connection a little late, never early.
	if now := time.Now(); now.Sub(c.readArmed) > c.slack() {
		c.armRead(now)
	}
	return nil
}

// slack is by how much the read deadline may lag behind.
func (c *conn) slack() time.Duration { return min(c.silence/32, maxSlack) }

// readFailed tells why a read failed.
func (c *conn) readFailed(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.expires.IsZero() && !time.Now().Before(c.expires):
		return c.expired()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errLater):
		return hub.Errorf(hub.ConnectionLost, "no packet for one and a half times the keep-alive")
	case errors.Is(err, io.EOF):
		return hub.Errorf(hub.ConnectionLost, "the client closed the connection without DISCONNECT")
	default:
		return hub.Errorf(hub.ConnectionLost, "the connection failed: %w", err)
	}
}

// handleAll handles every whole packet in in.
func (c *conn) handleAll(in *inbox) error {
	c.srv.prepare(&in.dec, c.version)
	for {
		b, err := in.frame()
		if err != nil || b == nil {
			return err
		}
		p, err := in.dec.Decode(b)
		if err != nil {
			return protocolError(err)
		}
		if c.handled++; c.handled > packetsPerTurn {
			c.handled = 1
			c.srv.rounds.wait()
		}
		err = c.handle(p, len(b))
		if errors.Is(err, errHalted) {
			in.next -= len(b) // it is decoded once more
			return err
		}
		in.batch.add(p, len(b))
		if err != nil {
			return err
		}
	}
}

// frame takes the next whole packet out of what was read; nil when more has
// to come first.
func (in *inbox) frame() ([]byte, error) {
	b := in.unread()
	if len(b) == 0 {
		return nil, nil
	}
	size, err := in.dec.Frame(b)
	if err != nil {
		return nil, protocolError(err)
	}
	if size == 0 || size > len(b) {
		return nil, nil
	}
	in.next += size
	return b[:size], nil
}

// handle does what one packet asks for. An error ends the connection.
func (c *conn) handle(p mqtt.Packet, size int) error {
	switch p := p.(type) {
	case *mqtt.Publish:
		return c.handlePublish(p, size)
	case *mqtt.Pingreq:
		return c.enqueue(pingresp)
	case *mqtt.Subscribe:
		return c.handleSubscribe(p)
	case *mqtt.Unsubscribe:
		return c.handleUnsubscribe(p)
	case *mqtt.Puback:
		c.handlePuback(p.ID)
		return nil
	case *mqtt.Disconnect:
		return errDisconnected
	case *mqtt.Connect:
		return hub.Errorf(hub.GenericBadRequest, "a second CONNECT came on the connection [MQTT3-3.1.0-2]")
	default:
		return hub.Errorf(hub.GenericBadRequest, "a client may not send %s", p.Type())
	}
}

// handlePuback tells the handler that a message has arrived. An identifier
// that is not in use is passed over: the C# SDK acknowledges QoS 0 too.
func (c *conn) handlePuback(id uint16) {
	if out, ok := c.handler.(Outbound); ok && c.giveID(id) {
		out.Acked(id)
	}
}

// handlePublish passes a message to the face. Its PUBACK follows when the
// message is stored.
func (c *conn) handlePublish(p *mqtt.Publish, size int) error {
	if p.QoS > 1 {
		return hub.Errorf(hub.ArgumentInvalid, "PUBLISH with QoS 2: only QoS 0 and 1 are supported")
	}
	tag, err := c.reserve(p, size)
	if err != nil {
		return err
	}
	if err := c.handler.Publish(p, c, tag); err != nil {
		c.forget()
		return err
	}
	return nil
}

package iothub

import (
	"time"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/gateway"
)

// Cloud-to-device messages. The device subscribes to
//
//	devices/{device}/messages/devicebound/#
//
// and acknowledges a message by its PUBACK.

// flushDelay is how long a device with a subscription of an earlier connection
// waits for its messages, unless it sends something: Node and C attach their
// handlers late.
const flushDelay = 1500 * time.Millisecond

// mail is a connection's part in cloud-to-device messages.
type mail struct{ box *c2d.Mailbox } // nil for a module

// openMail makes the mailbox of the connection. It is called before anything is
// read.
func (h *handler) openMail(l gateway.Link) {
	if h.face.C2D == nil || h.id.IsModule() {
		return
	}
	owner := c2d.Owner{Device: h.id.Device, Generation: h.generation}
	owner.Epoch, _ = l.Epoch()
	owner.Resumed, owner.Cut = l.Resumed()
	h.mail.box = h.face.C2D.Open(owner, func(d c2d.Delivery) (uint16, error) {
		qos, ok := mailQoS(l, h.id.Device)
		if !ok {
			return 0, c2d.ErrNotSubscribed
		}
		if err := h.allow(gateway.C2D, 1); err != nil {
			return 0, err // the mailbox tries again
		}
		id, err := l.Send(gateway.Message{Topic: d.Topic, Payload: d.Payload, QoS: qos, Dup: d.Redelivered, PacketID: d.PacketID, Yields: true})
		if d.Redelivered {
			h.went(c2dRepetition, err)
		} else {
			h.went(c2dMessage, err)
		}
		return id, err
	})
	if _, ok := mailQoS(l, h.id.Device); ok {
		h.mail.box.StartAfter(flushDelay)
	} else if h.face.DiscardC2D {
		h.mail.box.Discard(h.face.now())
	}
}

// startMail begins to deliver when the device has subscribed.
func (h *handler) startMail() {
	if h.mail.box == nil {
		return
	}
	if _, ok := mailQoS(*h.link.Load(), h.id.Device); ok {
		h.mail.box.Start()
	}
}

func (m *mail) hurry() {
	if m.box != nil {
		m.box.Hurry()
	}
}

func (m *mail) acked(packetID uint16) {
	if m.box != nil {
		m.box.Acked(packetID)
	}
}

func (m *mail) close() {
	if m.box != nil {
		m.box.Close()
	}
}

// mailQoS is the QoS with which the device wants its messages. Embedded C puts
// a + for its own id.
func mailQoS(l gateway.Link, device string) (byte, bool) {
	if qos, ok := l.Subscription("devices/" + device + "/messages/devicebound/#"); ok {
		return qos, true
	}
	return l.Subscription("devices/+/messages/devicebound/#")
}

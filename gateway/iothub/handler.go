package iothub

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/telemetry"
	"github.com/hubgate/hubgate/timeline"
	"github.com/hubgate/hubgate/twin"
)

// handler is the face's end of one connection.
type handler struct {
	face       *Face
	id         hub.Identity
	generation string
	authMethod string
	modelID    string
	sender     atomic.Pointer[telemetry.Sender] // nil until there is a message
	remote     string                           // address and port of the client
	link       atomic.Pointer[gateway.Link]     // nil before CONNECT is answered
	account    gateway.Account                  // of twin operations, calls and messages to the device
	calls      calls
	callable   bool   // methods are being subscribed to; owned by the reader
	java       bool   // the client is Java's SDK
	changes    uint32 // of the face, when the identity was looked up
	mail       mail
	twinOnce   sync.Once
	twin       atomic.Pointer[twin.Copy] // nil until the twin is first used
	policy     string                    // whose key let the connection in; empty: the identity's own
	proof      proof
	shown      *certificate // that let the connection in; nil: a token did
	renewal    atomic.Pointer[renewal]
	renewing   bool // credentials are being subscribed to; owned by the reader
}

var _ gateway.Outbound = (*handler)(nil)

// Attach implements [gateway.Outbound].
func (h *handler) Attach(l gateway.Link) {
	h.link.Store(&l)
	h.resumedMethods(l)
	h.watchDesired()
	h.openMail(l)
	h.resumeRenewal()
	h.recheckChain(l)
	h.recheckIdentity(l)
}

// Detached implements [gateway.Outbound].
func (h *handler) Detached() {
	h.calls.close()
	h.mail.close()
}

// Acked implements [gateway.Outbound].
func (h *handler) Acked(id uint16) {
	h.mail.acked(id)
	h.renewalAcked(id)
}

// Subscribed implements [gateway.Outbound].
func (h *handler) Subscribed() {
	h.subscribedMethods()
	h.watchDesired()
	h.startMail()
	h.subscribedRenewal()
}

// Publish implements [gateway.Handler].
func (h *handler) Publish(p *mqtt.Publish, done gateway.Receipt, tag uint64) error {
	h.mail.hurry()
	if len(p.Topic) > 0 && p.Topic[0] == '$' {
		act, err := h.request(p.Topic, p.Payload)
		if err != nil {
			return err
		}
		h.pause(p)
		done.Stored(tag, nil)
		act()
		return nil
	}
	h.came(telemetryMessage)
	bag, err := eventsBag(p.Topic, h.id)
	if err != nil {
		return err
	}
	return h.storeEvent(event{bag: bag, body: p.Payload, retain: p.Retain}, done, tag)
}

// request prepares what a message to a topic of $iothub asks for. The PUBACK
// goes first: it says that the request has come, the answer what became of it.
func (h *handler) request(topic, body []byte) (act func(), err error) {
	if bytes.HasPrefix(topic, []byte(prefixMethodAnswer)) {
		return h.answerMethod(topic, body)
	}
	if act, err = h.twinRequest(topic, body); act != nil || err != nil {
		return act, err
	}
	if act, err = h.issueRequest(topic, body); act != nil || err != nil {
		return act, err
	}
	return nil, unknownTopic(topic)
}

// Grant implements [gateway.Handler].
func (h *handler) Grant(filter string, qos byte) (byte, error) {
	h.noteMethods(filter)
	h.noteRenewal(filter)
	return grant(h.id, filter, qos)
}

// event is a telemetry message as it came by MQTT.
type event struct {
	bag    []byte
	body   []byte
	retain bool
}

// storeEvent decodes an event and has it stored.
func (h *handler) storeEvent(e event, done telemetry.Receipt, tag uint64) error {
	m := h.face.messages.get()
	defer h.face.messages.put(m)
	if err := h.decode(e, m); err != nil {
		return err
	}
	m.Enqueued = time.Now()
	h.trace(m, done, tag)
	h.face.Telemetry.Store(m, done, tag)
	return nil
}

// decode makes an event a message of this connection.
func (h *handler) decode(e event, m *telemetry.Message) error {
	if err := m.ParseBag(e.bag); err != nil {
		return err
	}
	m.Body = e.body
	if e.retain {
		m.AddProperty("mqtt-retain", "true") // IoT Hub keeps no retained messages
	}
	if m.Size() > telemetry.MaxSize {
		return hub.Errorf(hub.MessageTooLarge, "the message has %d bytes with its properties; the limit is %d", m.Size(), telemetry.MaxSize)
	}
	m.SentBy(h.asSender())
	return nil
}

// asSender is the connection as the sender of its messages; an idle one needs none.
func (h *handler) asSender() *telemetry.Sender {
	if s := h.sender.Load(); s != nil {
		return s
	}
	s := telemetry.NewSender(h.id, h.authMethod, h.generation, h.modelID)
	h.sender.Store(s)
	return s
}

// entry is an entry of the identity's timeline about err.
func (h *handler) entry(what timeline.What, err error) timeline.Entry {
	e := timeline.Entry{ID: h.id, What: what, Remote: h.remote, Code: hub.CodeOf(err), Message: hub.CodeOf(err).Hint()}
	if known, ok := errors.AsType[*hub.Error](err); ok {
		e.Message = known.Message
	}
	return e
}

package gateway

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// Face is one protocol surface, for example IoT Hub's fixed topics: it says
// who a CONNECT comes from and what the packets of the connection mean.
// Methods may be called from any goroutine.
type Face interface {
	// Profile says how the face deviates from the MQTT specification.
	Profile() Profile
	// Admit authenticates a CONNECT. What c holds is valid during the call
	// only. A refusal is a *hub.Error; its code chooses the CONNACK. The
	// Admission that comes with it holds the ID alone, if the identity that the
	// client named exists: its timeline tells of the refusal.
	Admit(ctx context.Context, c *mqtt.Connect, p Peer) (Admission, error)
}

// Profile is what a face accepts of MQTT.
type Profile struct {
	Versions []mqtt.Version // any other is refused
	Lenient  bool           // topics may hold + and #, and filters hold them anywhere
}

// Peer is the other end of a network connection.
type Peer struct {
	Remote    string // address and port
	Transport string // "tcp", "tls" or "websocket"
	// Certificates is what the client showed in TLS, its own first, as it came:
	// nothing is checked but that the client has the key of the first. Empty:
	// none. They are there while the CONNECT is judged, and not kept.
	Certificates []*x509.Certificate
}

// Admission is what a face says of a CONNECT that it accepts.
type Admission struct {
	ID          hub.Identity
	Generation  string    // of the identity: a session of another one is not resumed
	ClientAgent string    // what the client calls itself, may be empty
	ModelID     string    // the client's model, may be empty
	Expires     time.Time // when the connection ends at the latest; zero: never
	Stale       time.Time // when what let the client in ends, and only the grace is left; zero: never
	// Will is the message that the connection leaves behind when it ends without
	// DISCONNECT. The face has checked it and copied it. nil: none.
	Will    *session.Will
	Handler Handler
}

// Handler is the face's end of one connection. Publish and Grant are called
// by the connection's reader only.
type Handler interface {
	// Publish takes a PUBLISH; p is valid during the call only. It calls
	// done.Stored(tag, err) exactly once, sooner or later, from any goroutine,
	// or it returns an error, which ends the connection, and never calls done.
	Publish(p *mqtt.Publish, done Receipt, tag uint64) error
	// Grant says which QoS a subscription gets, or an error that refuses it.
	Grant(filter string, qos byte) (byte, error)
}

// Expiring is a Handler that knows why its connection ends at
// [Admission.Expires].
type Expiring interface {
	Handler
	// Expired is that reason.
	Expired() error
}

// Outbound is a Handler that sends to its client.
type Outbound interface {
	Handler
	// Attach gives the handler the way to its client. It is called once, when
	// CONNECT has been answered and before anything is read.
	Attach(l Link)
	// Acked says that the client has acknowledged the message that Send gave
	// this id, so that its delivery is complete. It is called by the
	// connection's reader.
	Acked(id uint16)
	// Subscribed says that SUBSCRIBE has changed the subscriptions and was
	// answered. It is called by the connection's reader.
	Subscribed()
	// Detached says that the connection has ended. Nothing is called after it.
	Detached()
}

// Link is the way to a client. Its methods may be called from any goroutine;
// they do not wait for the network.
type Link interface {
	// Send queues a PUBLISH. With QoS 1 it returns the packet identifier, which
	// is 0 with QoS 0. It fails when the connection has ended, and with
	// QuotaExceeded when too many messages wait for their acknowledgement, or too
	// much to be read; see [Message].
	Send(p Message) (id uint16, err error)
	// Subscription returns what the session has subscribed with this filter.
	Subscription(filter string) (qos byte, ok bool)
	// Resumed reports whether the session is that of an earlier connection, and
	// whether that one was cut: then it may have sent what nobody has noted.
	Resumed() (resumed, cut bool)
	// Epoch is the fencing number of the connection's claim of its session, and
	// whether the connection before this one may still believe that it is the
	// owner.
	Epoch() (epoch uint64, contested bool)
	// Stop ends the connection because of cause.
	Stop(cause error)
}

// Message is an application message to a client.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte // 0 or 1
	Dup     bool // sent before, in this session
	// PacketID is the identifier that a message with QoS 1 has to have, not below
	// [FirstFixedID]; 0: any that is free.
	PacketID uint16
	// Yields says that Send is to fail with QuotaExceeded when much waits for a
	// client that has not read it, where any other message ends the connection in
	// the end.
	Yields bool
}

// Receipt is told what became of a message. It has the method of
// telemetry.Receipt, so that a face can pass it on.
type Receipt interface {
	// Stored reports that the message of tag is in the store, or why not. It
	// does not block.
	Stored(tag uint64, err error)
}

package telemetry

import (
	"time"

	"github.com/hubgate/hubgate/hub"
)

// MaxSize is the largest message in bytes, as [Message.Size] counts it
// (Microsoft's quotas page: 256 KB).
const MaxSize = 256 << 10

// SourceTelemetry is the iothub-message-source of what devices send.
const SourceTelemetry = "Telemetry"

// How a sender authenticated, as IoT Hub writes it in
// iothub-connection-auth-method.
const (
	AuthMethodDevice = `{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}`
	AuthMethodModule = `{"scope":"module","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}`
	AuthMethodHub    = `{"scope":"hub","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}`
)

// Message is one device-to-cloud message. Its byte slices are views of
// somebody else's memory, valid only during the call that passes the message
// on. A Message may be used again after [Message.Reset].
type Message struct {
	From       hub.Identity
	Body       []byte
	Properties []Property // application properties, each name once
	System     [systemProperties][]byte

	// What the hub vouches for.
	AuthMethod string    // iothub-connection-auth-method
	Generation string    // generationId of the identity
	ModelID    string    // the model id of the connection; may be empty
	Source     string    // iothub-message-source
	Enqueued   time.Time // when the hub took it

	scratch []byte // decoded names and values
}

// Property is an application property, decoded.
type Property struct {
	Name  []byte
	Value []byte
	Null  bool // the name came without =
}

// Reset empties m and keeps its storage.
func (m *Message) Reset() {
	*m = Message{Properties: m.Properties[:0], scratch: m.scratch[:0]}
}

// AddProperty sets an application property, replacing one of the same name.
func (m *Message) AddProperty(name, value string) {
	m.set(Property{Name: []byte(name), Value: []byte(value)})
}

func (m *Message) set(p Property) {
	for i := range m.Properties {
		if string(m.Properties[i].Name) == string(p.Name) {
			m.Properties[i] = p
			return
		}
	}
	m.Properties = append(m.Properties, p)
}

// Size is the size that IoT Hub bills and limits: the body, the values of
// system properties, and the names and values of application properties.
func (m *Message) Size() int {
	n := len(m.Body)
	for _, v := range m.System {
		n += len(v)
	}
	for _, p := range m.Properties {
		n += len(p.Name) + len(p.Value)
	}
	return n
}

// Sink stores messages.
type Sink interface {
	// Store copies what it keeps of m before it returns, and may wait while too
	// much is in flight. It calls done.Stored(tag, err) exactly once, from any
	// goroutine; a nil err means that JetStream has stored the message. Any
	// other is a *hub.Error.
	Store(m *Message, done Receipt, tag uint64)
}

// Receipt is told what became of a message.
type Receipt interface {
	// Stored must return soon: others wait for their turn.
	Stored(tag uint64, err error)
}

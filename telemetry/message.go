package telemetry

import (
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
)

// MaxSize is the largest message in bytes, as [Message.Size] counts it
// (Microsoft's quotas page: 256 KB).
const MaxSize = 256 << 10

// SourceTelemetry is the iothub-message-source of what devices send.
const SourceTelemetry = "Telemetry"

// How a sender proved who it is, as IoT Hub writes it in
// iothub-connection-auth-method: by its own key, by the key of a hub-wide
// policy, or by a certificate, which is nothing that the hub has issued.
const (
	AuthMethodDevice = `{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}`
	AuthMethodModule = `{"scope":"module","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}`
	AuthMethodHub    = `{"scope":"hub","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}`

	AuthMethodDeviceX509 = `{"scope":"device","type":"x509","issuer":"external","acceptingIpFilterRule":null}`
	AuthMethodModuleX509 = `{"scope":"module","type":"x509","issuer":"external","acceptingIpFilterRule":null}`
)

// Message is one device-to-cloud message. Its byte slices are views of the bag
// that was parsed, of the body's owner's memory and of the message's own, and
// are valid only during the call that passes the message on. A Message is used
// again after [Message.Reset], and by one goroutine at a time.
type Message struct {
	From hub.Identity
	Body []byte
	// Properties are the application properties in the order of their first
	// appearance, each name once.
	Properties []Property
	// System are the system properties; nil is one that was not sent.
	System [systemProperties][]byte

	// What the hub vouches for.
	AuthMethod string    // one of the AuthMethod constants
	Generation string    // generationId of the identity
	ModelID    string    // the model id of the connection; may be empty
	Source     string    // [SourceTelemetry]
	Enqueued   time.Time // when the hub took it

	// Trace is the trace that whoever stores the message goes on with. None: there
	// is no trace.
	Trace span.Context

	sender  *Sender // whose headers are encoded already; may be nil
	scratch []byte  // decoded names and values
	index   index   // of Properties, when there are many
}

// Property is an application property, decoded.
type Property struct {
	Name  []byte
	Value []byte
	Null  bool // the name came without =
}

// What Reset keeps of a message with unusually many properties.
const maxKept = 128

// Reset empties m. It keeps its storage, but holds on to nothing else.
func (m *Message) Reset() {
	m.resetBag()
	kept := Message{Properties: m.Properties, scratch: m.scratch, index: m.index}
	if cap(kept.Properties) > maxKept {
		kept.Properties, kept.index = nil, index{}
	}
	*m = kept
}

func (m *Message) resetBag() {
	clear(m.Properties)
	m.Properties, m.scratch, m.index.count = m.Properties[:0], m.scratch[:0], 0
	m.System = [systemProperties][]byte{}
}

// AddProperty sets an application property, in place of one of the same name
// that the device sent: what the hub says of a message counts.
func (m *Message) AddProperty(name, value string) {
	start := len(m.scratch)
	m.scratch = append(append(m.scratch, name...), value...)
	text := m.scratch[start:len(m.scratch):len(m.scratch)]
	m.set(Property{Name: text[:len(name):len(name)], Value: text[len(name):]})
}

// set adds a property or replaces the one with its name.
func (m *Message) set(p Property) {
	if i := m.index.find(m.Properties, p.Name); i >= 0 {
		m.Properties[i] = p
		return
	}
	m.Properties = append(m.Properties, p)
}

// TraceProperties returns the trace context that the device has sent, as the
// application properties traceparent and tracestate, and that nobody has looked
// at. They stay properties like any other.
func (m *Message) TraceProperties() span.Context {
	var c span.Context
	for i := range m.Properties {
		switch p := &m.Properties[i]; string(p.Name) {
		case span.HeaderParent:
			c.Parent = string(p.Value)
		case span.HeaderState:
			c.State = string(p.Value)
		}
	}
	return c.Bounded()
}

// Size is the size in bytes that IoT Hub bills and limits: the body, the values
// of system properties, and the names and values of application properties
// (Microsoft's "IoT Hub message format" page).
func (m *Message) Size() int {
	n := len(m.Body)
	for _, v := range &m.System {
		n += len(v)
	}
	for i := range m.Properties {
		n += len(m.Properties[i].Name) + len(m.Properties[i].Value)
	}
	return n
}

// Sink stores messages. It may be used from any goroutine.
type Sink interface {
	// Store copies what it keeps of m before it returns, and may wait while too
	// much is in flight. It calls done.Stored(tag, err) exactly once, from any
	// goroutine and not necessarily in the order of the calls; a nil err means
	// that JetStream has stored the message. Any other is a *hub.Error.
	Store(m *Message, done Receipt, tag uint64)
}

// Receipt is told what became of a message.
type Receipt interface {
	// Stored must return soon: others wait for their turn.
	Stored(tag uint64, err error)
}

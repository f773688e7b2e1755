package span

import (
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Op is what a part of a node does.
type Op uint8

// The operations. Messages and calls begin traces, or go on with those of whoever
// sends them; the others are parts of one, and are in none by themselves.
const (
	Message Op = iota // a device's message, from its packet to its PUBACK
	Store             // its way into JetStream, to the acknowledgement
	Call              // of a direct method, from the request to its answer
	Ask               // the device's part of it, from the PUBLISH to the answer
)

// Begins reports whether a trace may begin with the operation.
func (o Op) Begins() bool { return o == Message || o == Call }

// About is what an operation is about. Nothing in it is what a device or a back
// end says in a message: no body, no property, no token.
type About struct {
	ID     hub.Identity
	Method string // Call, Ask: the direct method's name
	// Destination is the topic of an Ask, or the NATS subject; of a Call empty if
	// it did not come by NATS.
	Destination string
	Stream      string    // Store
	Size        int       // of the body, in bytes
	Began       time.Time // zero: now
}

// Outcome is how an operation has ended.
type Outcome struct {
	Err      error  // nil: well
	Sequence uint64 // Store: of the message in its stream
	Status   int    // Call, Ask: what the device has answered
}

// Span is an operation of a trace that goes on. It may be used by any goroutine.
type Span interface {
	// End says how the operation has ended. It is called once, and never waits.
	End(o Outcome)
}

// Tracer makes spans. It is safe for concurrent use and never waits.
type Tracer interface {
	// Begin begins an operation, which goes on with the trace of from; what is
	// malformed there is passed over. The span is nil if the operation is in no
	// trace that is kept. The context is for whoever the operation gives its work
	// to; it may be that of from, or none.
	Begin(op Op, about About, from Context) (Span, Context)
}

package methods

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
)

// Limits of durable commands.
const (
	MinWait            = time.Second
	MaxWait            = 30 * 24 * time.Hour
	MaxDeviceCommands  = 50     // that wait for one device or module
	MaxWaitingCommands = 20_000 // of the hub
)

// Limits are how many commands may wait. A zero field means
// [MaxDeviceCommands], [MaxWaitingCommands].
type Limits struct{ Device, All int }

// State is how far a command is.
type State string

// The states, in their order. A command that has begun may have reached the
// device: it never becomes pending again unless it certainly has not.
const (
	Pending  State = "pending"
	Begun    State = "begun"
	Finished State = "finished"
)

// Outcome is what became of a command.
type Outcome string

// The outcomes. Unknown is the honest word for a gateway that died in
// mid-call: the device may have acted.
const (
	Answered  Outcome = "answered"
	Failed    Outcome = "failed"
	Expired   Outcome = "expired"
	Cancelled Outcome = "cancelled"
	Unknown   Outcome = "unknown"
)

// Valid reports whether o is one of the outcomes.
func (o Outcome) Valid() bool {
	switch o {
	case Answered, Failed, Expired, Cancelled, Unknown:
		return true
	default:
		return false
	}
}

// Command is a call that is kept until its device comes. Its JSON is what the
// store keeps; For and ID are in the key.
type Command struct {
	For             hub.Identity  `json:"-"`
	ID              string        `json:"-"` // ascending with the time of acceptance
	Generation      string        `json:"generation"`
	Method          string        `json:"method"`
	Payload         []byte        `json:"payload,omitempty"` // until it is finished
	ResponseTimeout time.Duration `json:"responseTimeout"`
	ReplyTo         string        `json:"replyTo,omitempty"` // besides the stored event
	Accepted        time.Time     `json:"accepted"`
	Expires         time.Time     `json:"expires"`
	Trace           span.Context  `json:"trace,omitzero"` // of whoever has called; may be none

	State    State     `json:"state"`
	Claim    string    `json:"claim,omitempty"`   // who has begun it
	Deadline time.Time `json:"deadline,omitzero"` // of the claim: after it nobody works on it
	Result   *Result   `json:"result,omitempty"`  // when it is finished

	Revision uint64 `json:"-"` // of the store
}

// Result is what became of a command. Code and Message are set unless the
// device has answered.
type Result struct {
	Outcome Outcome   `json:"outcome"`
	Status  int       `json:"status,omitempty"`
	Payload []byte    `json:"payload,omitempty"` // as the device sent it
	Code    hub.Code  `json:"code,omitempty"`
	Message string    `json:"message,omitempty"`
	Time    time.Time `json:"time"`
}

// CommandStore keeps commands. Its errors are *hub.Error: PreconditionFailed
// for another revision, JobNotFound, QuotaExceeded when it is full, and
// ServiceUnavailable, after which nobody knows whether a write was stored.
// Methods may be called from any goroutine.
type CommandStore interface {
	// Create stores a new command and sets its Revision.
	Create(ctx context.Context, c *Command) error
	// Update replaces the command of this Revision and sets the new one.
	Update(ctx context.Context, c *Command) error
	// Remove deletes the command of this Revision.
	Remove(ctx context.Context, c Command) error
	// Get returns a command.
	Get(ctx context.Context, id hub.Identity, command string) (Command, error)
	// Watch calls w, from one goroutine: for a beginning, all commands that there
	// are, the end of these, and then for every change; after an interruption for a
	// beginning again. It returns nil when ctx ends.
	Watch(ctx context.Context, w Watcher) error
}

// Watcher is told of the commands in a store.
type Watcher interface {
	// Loading says that everything is told from the beginning.
	Loading()
	Stored(c Command)
	Removed(c Command) // of which only For, ID and Revision are set
	// Loaded says that what was there at first has been told.
	Loaded()
}

// Results tells whoever waits for commands.
type Results interface {
	// Deliver stores what became of a finished command and tells its ReplyTo.
	// After an error it is called again.
	Deliver(ctx context.Context, c Command) error
}

// Order is what Submit accepts: a call that is made when the device comes.
type Order struct {
	Call
	Wait    time.Duration // how long the device is waited for
	ReplyTo string        // where the result goes besides the stored event; may be empty
}

// Complete fills in defaults, and fails with ArgumentInvalid when o breaks a
// rule.
func (o *Order) Complete() error {
	if o.ConnectTimeout != 0 {
		return hub.Errorf(hub.ArgumentInvalid, "a call that is stored has no connect timeout: the wait is it")
	}
	if o.Wait < MinWait || o.Wait > MaxWait {
		return hub.Errorf(hub.ArgumentInvalid, "the wait is %v; it may be %v to %v", o.Wait, MinWait, MaxWait)
	}
	return o.Call.Complete()
}

// newID makes an id that is unique and greater than those made before.
func newID(now time.Time) string {
	return fmt.Sprintf("%014x%s", now.UnixMicro(), strings.ToLower(rand.Text()[:8]))
}

// ValidCommandID reports whether s may be the id of a command.
func ValidCommandID(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func (c *Command) call() Call {
	return Call{ID: c.For, Method: c.Method, Payload: c.Payload, ResponseTimeout: c.ResponseTimeout, Trace: c.Trace}
}

func (c *Command) notFound() error {
	return hub.Errorf(hub.JobNotFound, "no command %s waits for %s", c.ID, c.For)
}

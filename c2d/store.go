package c2d

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Store keeps the queues and, apart from them, what is to be known of messages
// that are on their way. Its errors are *hub.Error.
type Store interface {
	// Next returns the first message of a device with a number above after; the
	// zero Message when there is none. It may not know yet of one that was stored
	// just now, but passes over none that was stored before the one it returns.
	Next(ctx context.Context, device string, after uint64) (Message, error)
	// Holds reports whether a message that was stored is still there. It knows.
	Holds(ctx context.Context, sequence uint64) (bool, error)
	// Remove deletes a message; one that is not there is no error.
	Remove(ctx context.Context, sequence uint64) error
	// Load returns the state of a device, the zero State when there is none.
	Load(ctx context.Context, device string) (State, error)
	// Save writes it if it still has the revision of s, and fails with
	// PreconditionFailed otherwise.
	Save(ctx context.Context, device string, s State) error
}

// Bulk is what a [Store] may be able to do with several messages at once.
type Bulk interface {
	// Waiting returns the first messages of a device with numbers above after, in
	// order and as Next does, for which there is room. more says that there may be
	// others behind them.
	Waiting(ctx context.Context, device string, after uint64, room Room) (first []Message, more bool, err error)
	// RemoveAll is Remove for several messages.
	RemoveAll(ctx context.Context, r Removal) error
}

// Room is how much may be read at once. What reaches Bytes is the last.
type Room struct{ Messages, Bytes int }

// Removal is messages of one device that go.
type Removal struct {
	Device    string
	Sequences []uint64 // in order
	// AloneSince is since when it is known that the device has no other message up
	// to the last of them; zero: it may have.
	AloneSince time.Time
}

// Outcomes keeps what became of messages. Both methods may be called again for
// the same message; a second copy is dropped for some time at least.
type Outcomes interface {
	Report(ctx context.Context, f Feedback) error
	Bury(ctx context.Context, d DeadLetter) error
}

// Claims knows the epochs of sessions.
type Claims interface {
	// Claimed reports whether a session can have been claimed with this epoch: one
	// that can't is of a time before the sessions were lost.
	Claimed(ctx context.Context, epoch uint64) (bool, error)
}

// Devices knows who exists.
type Devices interface {
	// Generation returns the generationId of a device, or DeviceNotFound.
	Generation(ctx context.Context, id hub.Identity) (string, error)
}

// State is what is known of a device's messages besides themselves. A device
// whose messages go through at once has hardly any.
type State struct {
	// Epoch is that of the newest connection that has begun to deliver: an
	// older one can settle nothing any more.
	Epoch uint64 `json:"epoch"`
	// Failures counts deliveries in vain, by sequence.
	Failures map[uint64]int `json:"failures,omitempty"`
	// Settled has the outcomes of messages that wanted feedback, by sequence.
	// Those of messages that are long gone are forgotten.
	Settled  map[uint64]Status `json:"settled,omitempty"`
	Revision uint64            `json:"-"`
}

// tidyFrom is from how many outcomes on those of messages that are gone are looked
// for: seldom, for it costs a look into the queue.
const tidyFrom = 32

// maxRemembered bounds both maps of a state; a queue has [MaxDepth] messages.
const maxRemembered = 4 * MaxDepth

// remember enters v and forgets the oldest other one when there are too many.
func remember[V any](m map[uint64]V, sequence uint64, v V) map[uint64]V {
	if m == nil {
		m = map[uint64]V{}
	}
	delete(m, sequence)
	if len(m) >= maxRemembered {
		delete(m, slices.Min(slices.Collect(maps.Keys(m))))
	}
	m[sequence] = v
	return m
}

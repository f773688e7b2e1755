package twin

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Twins is the operations on twins. Set its fields before use. Methods may be
// called from any goroutine; their errors are *hub.Error, and none but
// ServiceUnavailable and GatewayTimeout leaves it open whether a write was
// stored.
type Twins struct {
	Store Store
	Now   func() time.Time // nil: time.Now
	// Observed hears how long each operation of a back end took, from its beginning
	// to the answer or the error; nil: nobody does. It does not block.
	Observed func(op Operation, began time.Time, err error)

	turns turns
}

// Write is what a back end asks for.
type Write struct {
	Body    []byte // see [ParseUpdate]
	IfMatch string // an etag, with or without quotes; * or nothing for any
	By      string // who asks, for the history; may be empty
	// Origins say for which configurations the desired properties are written;
	// see [Origin]. Back ends have none.
	Origins []Origin
}

// Operation is what a back end does with a twin.
type Operation uint8

// The operations.
const (
	Read Operation = iota
	Updated
	Replaced
)

// observe tells of an operation that ends with *err.
func (s *Twins) observe(op Operation, began time.Time, err *error) {
	if s.Observed != nil {
		s.Observed(op, began, *err)
	}
}

// Get returns a twin. It fails with DeviceNotFound or ModuleNotFound.
func (s *Twins) Get(ctx context.Context, id hub.Identity) (t Twin, err error) {
	defer s.observe(Read, time.Now(), &err)
	return s.Store.Get(ctx, id)
}

// GetDevice returns a twin as its device gets it; see [Twin.Device].
func (s *Twins) GetDevice(ctx context.Context, id hub.Identity) ([]byte, error) {
	t, err := s.Store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return t.Device(), nil
}

// Update merges w into tags and desired properties and returns the new twin;
// see [Twin.Patch].
func (s *Twins) Update(ctx context.Context, id hub.Identity, w Write) (t Twin, err error) {
	defer s.observe(Updated, time.Now(), &err)
	p, err := w.parse()
	if err != nil {
		return Twin{}, err
	}
	return s.change(ctx, id, w.By, func(t Twin) (Twin, Change, error) { return t.Patch(p, w.IfMatch, s.now()) })
}

// UpdateFrom merges what f makes of the twin as it is, a body as that of w, and
// returns the new twin. f is called again when somebody else was faster. Errors
// are those of f and of [Twins.Update].
func (s *Twins) UpdateFrom(ctx context.Context, id hub.Identity, w Write, f func(Twin) (body []byte, err error)) (t Twin, err error) {
	defer s.observe(Updated, time.Now(), &err)
	return s.change(ctx, id, w.By, func(t Twin) (Twin, Change, error) {
		if err := t.matches(w.IfMatch); err != nil {
			return Twin{}, Change{}, err
		}
		body, err := f(t)
		if err != nil {
			return Twin{}, Change{}, err
		}
		p, err := ParseUpdate(body)
		if err != nil {
			return Twin{}, Change{}, err
		}
		return t.Patch(p, "", s.now())
	})
}

// Replace puts w in place of tags and desired properties and returns the new
// twin; see [Twin.Replace].
func (s *Twins) Replace(ctx context.Context, id hub.Identity, w Write) (t Twin, err error) {
	defer s.observe(Replaced, time.Now(), &err)
	p, err := w.parse()
	if err != nil {
		return Twin{}, err
	}
	return s.change(ctx, id, w.By, func(t Twin) (Twin, Change, error) { return t.Replace(p, w.IfMatch, s.now()) })
}

func (w Write) parse() (Patch, error) {
	p, err := ParseUpdate(w.Body)
	if err != nil || p.desired == nil {
		return p, err
	}
	for _, o := range w.Origins {
		o.attribute(p.desired)
	}
	return p, nil
}

// PatchReported merges what the device sent into its reported properties, for
// faces without a connection; the others have a [Copy]. See
// [Twin.PatchReported].
func (s *Twins) PatchReported(ctx context.Context, id hub.Identity, body []byte, ifVersion int64) (Twin, error) {
	p, err := ParseReported(body)
	if err != nil {
		return Twin{}, err
	}
	return s.change(ctx, id, id.String(), func(t Twin) (Twin, Change, error) { return t.PatchReported(p, ifVersion, s.now()) })
}

// edit makes the next twin of one.
type edit func(Twin) (Twin, Change, error)

// change reads a twin, applies f and stores the result, again and again while
// others are faster.
func (s *Twins) change(ctx context.Context, id hub.Identity, by string, f edit) (Twin, error) {
	turn, err := s.turns.take(ctx, id)
	if err != nil {
		return Twin{}, err
	}
	defer s.turns.give(id, turn)
	for try := 1; ; try++ {
		t, err := s.Store.Get(ctx, id)
		if err != nil {
			return Twin{}, err
		}
		next, err := s.put(ctx, t, by, f)
		if !errors.Is(err, errRace) {
			return next, err
		}
		if err := pause(ctx, id, try); err != nil {
			return Twin{}, err
		}
	}
}

// errRace is a compare-and-set that somebody else has won.
var errRace = errors.New("somebody else was faster")

// put applies f to t and stores the result.
func (s *Twins) put(ctx context.Context, t Twin, by string, f edit) (Twin, error) {
	next, c, err := f(t)
	if err != nil {
		return Twin{}, err
	}
	c.By = by
	next.Revision, err = s.Store.Put(ctx, next, c)
	if errors.Is(err, &hub.Error{Code: hub.PreconditionFailed}) {
		return Twin{}, errRace
	}
	if err != nil {
		return Twin{}, err
	}
	return next, nil
}

// A write is tried this often; with the longest pauses that takes some five
// seconds.
const (
	tries      = 40
	firstPause = time.Millisecond
	maxPause   = 256 * time.Millisecond
)

// pause waits before the next try, for a random time so that those who race
// don't meet again. It fails when there were enough tries, or ctx ends.
func pause(ctx context.Context, id hub.Identity, try int) error {
	if try == tries {
		return hub.Errorf(hub.Throttled, "the twin of %s was written by others %d times while this request was tried; try again", id, tries)
	}
	longest := min(firstPause<<min(try, 16), maxPause)
	t := time.NewTimer(time.Duration(rand.Int64N(int64(longest))))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return hub.Errorf(hub.GatewayTimeout, "the twin of %s is busy, and the time for the request is over: %w", id, ctx.Err())
	}
}

func (s *Twins) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

package backend

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
)

// mirror is a copy of a small bucket in memory, by the names that its keys
// encode, which a watch keeps current. It is safe for concurrent use.
type mirror[T any] struct {
	bucket *bucket
	log    zerolog.Logger
	one    string // of what it holds, for the log
	many   string
	// decode reads what is written. What it refuses is left out.
	decode func(jetstream.KeyValueEntry) (T, error)

	current atomic.Pointer[map[string]T] // never changed, only replaced
	changed chan struct{}                // has room for one
}

// apply enters what was written into all.
func (m *mirror[T]) apply(all map[string]T, e jetstream.KeyValueEntry) {
	name, err := subject.DecodeToken(e.Key())
	if err != nil {
		return
	}
	delete(all, name)
	if e.Operation() != jetstream.KeyValuePut {
		return
	}
	value, err := m.decode(e)
	if err != nil {
		m.log.Warn().Err(err).Str("key", e.Key()).Msg(m.one + " is left out")
		return
	}
	all[name] = value
}

// follow keeps the copy current until ctx ends.
func (m *mirror[T]) follow(ctx context.Context) {
	for n := 1; ctx.Err() == nil; n++ {
		err := m.watch(ctx)
		if err == nil {
			n = 0
			continue
		}
		m.log.Warn().Err(err).Msg("watching " + m.many + " is interrupted")
		wait(ctx, backoff(n))
	}
}

// watch loads all that is there and follows the changes, until ctx ends or NATS
// has been away.
func (m *mirror[T]) watch(ctx context.Context) error {
	fresh := map[string]T{} // until the watch has told all that is there
	_, err := m.bucket.follow(ctx, 0, func(e jetstream.KeyValueEntry) {
		switch {
		case e == nil:
			m.publish(fresh)
			fresh = nil
		case fresh == nil:
			next := maps.Clone(*m.current.Load())
			m.apply(next, e)
			m.publish(next)
		default:
			m.apply(fresh, e)
		}
	})
	return err
}

// publish makes all the current copy, and says so.
func (m *mirror[T]) publish(all map[string]T) {
	m.current.Store(&all)
	select {
	case m.changed <- struct{}{}:
	default: // it is known already that there is something to see
	}
}

// byName returns the values of all in the order of their names.
func byName[T any](all map[string]T) []T {
	var values []T
	for _, name := range slices.Sorted(maps.Keys(all)) {
		values = append(values, all[name])
	}
	return values
}

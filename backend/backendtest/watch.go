package backendtest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// knock is how often a test does what a watcher that has just been started may
// have missed.
const knock = 20 * time.Millisecond

// watch starts a watcher, and returns when it is known to watch: when it has
// told of what knockOn does. The returned channel has what it tells from then
// on, without what isKnock says knockOn did. The watcher is stopped, and its
// error looked at, when the test ends.
func watch[T any](t *testing.T, run func(context.Context, func(T)) error, knockOn func(), isKnock func(T) bool) <-chan T {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	told, knocked, done := make(chan T, 1000), make(chan struct{}, 1), make(chan error, 1)
	go func() {
		done <- run(ctx, func(v T) {
			if !isKnock(v) {
				told <- v
				return
			}
			select {
			case knocked <- struct{}{}:
			default:
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("watch: %v, want nil when the context ends", err)
			}
		case <-time.After(patience):
			t.Error("watch does not return when the context ends")
		}
	})
	deadline := time.After(patience)
	for {
		knockOn()
		select {
		case <-knocked:
			return told
		case err := <-done:
			t.Fatalf("watch: %v", err)
		case <-deadline:
			t.Fatal("watch tells nothing")
		case <-time.After(knock):
		}
	}
}

// next returns what a watcher tells next.
func next[T any](t *testing.T, told <-chan T) T {
	t.Helper()
	select {
	case v := <-told:
		return v
	case <-time.After(patience):
		t.Fatal("watch did not tell of a change")
		panic("unreachable")
	}
}

// watchDevices is about an identity.Watcher; a store that is none passes.
func watchDevices(t *testing.T, s identity.Store) {
	w, ok := s.(identity.Watcher)
	if !ok {
		t.Log("the store does not watch")
		return
	}
	create(t, s, device("before"))
	door := create(t, s, device("door"))
	told := watch(t, w.Watch, func() {
		revision, err := s.Update(t.Context(), door)
		if err != nil {
			t.Fatal(err)
		}
		door.Revision = revision
	}, func(c identity.Change) bool { return c.ID == door.ID })

	for _, r := range []identity.Record{device("a.b"), module("a.b", "$m*")} {
		r = create(t, s, r)
		isTold(t, told, r)
		r.ETag = "MQ=="
		revision, err := s.Update(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		r.Revision = revision
		isTold(t, told, r)
		if err := s.Delete(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if c := next(t, told); c.ID != r.ID || c.Record != nil {
			t.Errorf("told of %s with record %v, want the deletion of %s", c.ID, c.Record, r.ID)
		}
	}
	// A lost compare-and-set is no change.
	stale := door
	stale.Revision--
	_, err := s.Update(t.Context(), stale)
	fails(t, "update by an old revision", err, hub.PreconditionFailed)
	isTold(t, told, create(t, s, device("last")))
}

func isTold(t *testing.T, told <-chan identity.Change, want identity.Record) {
	t.Helper()
	c := next(t, told)
	if c.ID != want.ID || c.Record == nil {
		t.Fatalf("told of %s with record %v, want %s", c.ID, c.Record, want.ID)
	}
	if diff := cmp.Diff(want, *c.Record); diff != "" {
		t.Errorf("told record of %s (-want +got):\n%s", want.ID, diff)
	}
}

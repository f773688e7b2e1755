package attack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// innocents are a hub's honest users during an attack on its API: devices that
// publish, and an operator who writes and reads a twin, one request after the
// other. What everybody owns must be the same in the end.
type innocents struct {
	g      *target
	fleet  *bystanders
	user   *operator
	before map[string]uint64

	stop  context.CancelFunc
	done  sync.WaitGroup
	first int // version of the twin
	wrote int
	err   error
	times []time.Duration
}

// innocent begins with two devices and an operator.
func innocent(t *testing.T, g *target) *innocents {
	t.Helper()
	n := &innocents{g: g, user: g.operator(t, "service")}
	g.create(t, "innocent-twin")
	n.fleet = watch(t, g, 2, 5*time.Millisecond)
	n.before = g.snapshot(t)
	n.first = n.version(t)
	ctx, cancel := context.WithCancel(t.Context())
	n.stop = cancel
	t.Cleanup(cancel)
	n.done.Go(func() { n.err = n.run(ctx) })
	return n
}

// version is that of the operator's twin.
func (n *innocents) version(t *testing.T) int {
	t.Helper()
	v, err := strconv.Atoi(n.user.do(t, "GET", "/twins/innocent-twin"+version, "").member(t, "version"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (n *innocents) run(ctx context.Context) error {
	const path = "/twins/innocent-twin" + version
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		begin := time.Now()
		// Not ctx: a write that was cut off may be there, or not.
		a, err := n.user.try(context.WithoutCancel(ctx), "PATCH", path, `{"tags":{"n":`+strconv.Itoa(n.wrote+1)+`}}`)
		if err == nil && a.status != 200 {
			err = fmt.Errorf("%d: %.200q", a.status, a.body)
		}
		if err != nil {
			return fmt.Errorf("write %d: %w", n.wrote+1, err)
		}
		n.wrote++
		if a, err = n.user.try(context.WithoutCancel(ctx), "GET", path, ""); err != nil || a.status != 200 {
			return errors.Join(fmt.Errorf("read %d: %d %.200q", n.wrote, a.status, a.body), err)
		}
		n.times = append(n.times, time.Since(begin))
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// finish fails t if anybody was disturbed, or anything has changed.
func (n *innocents) finish(t *testing.T) {
	t.Helper()
	n.stop()
	n.done.Wait()
	if n.err != nil {
		t.Errorf("the innocent operator was disturbed: %v", n.err)
	}
	if got, want := n.version(t), n.first+n.wrote; n.err == nil && got != want {
		t.Errorf("the twin has the version %d after %d writes, want %d", got, n.wrote, want)
	}
	n.g.unchanged(t, n.before)
	n.fleet.finish(t)
	slices.Sort(n.times)
	if len(n.times) > 0 {
		t.Logf("the innocent operator wrote and read %d times, with a p99 of %v", len(n.times), n.times[len(n.times)*99/100])
	}
}

package configuration

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// sweeps is what there is to look at in the whole fleet. Asking twice for the
// same is asking once.
type sweeps struct {
	mu     sync.Mutex
	ids    map[string]bool // configurations
	whole  bool
	busy   bool          // one is under way
	wanted chan struct{} // has room for one
}

func newSweeps() *sweeps {
	return &sweeps{ids: map[string]bool{}, wanted: make(chan struct{}, 1)}
}

// add asks for what a configuration selects, or selected.
func (s *sweeps) add(id string) { s.ask(func() { s.ids[id] = true }) }

// all asks for the whole fleet.
func (s *sweeps) all() { s.ask(func() { s.whole = true }) }

func (s *sweeps) ask(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// take returns what was asked for since.
func (s *sweeps) take() (ids map[string]bool, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids, whole = s.ids, s.whole
	s.ids, s.whole, s.busy = map[string]bool{}, false, true
	return ids, whole
}

func (s *sweeps) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
}

func (s *sweeps) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids) == 0 && !s.whole && !s.busy
}

// sweep looks at all that is asked for, and at the whole fleet from time to
// time.
func (c *Controller) sweep(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if len(c.current.Load().byID) > 0 {
				c.sweeps.all()
			}
		case <-c.sweeps.wanted:
			round := c.whole
			if ids, whole := c.sweeps.take(); !whole {
				round = func(ctx context.Context) error { return c.round(ctx, ids) }
			}
			if err := round(ctx); err != nil && ctx.Err() == nil {
				c.report(Trouble{Code: hub.CodeOf(err), Message: "the fleet can't be read; trying again", Err: err})
				rest(ctx)
				c.sweeps.all()
			}
			c.sweeps.done()
		}
	}
}

// whole puts the whole fleet in the queue.
func (c *Controller) whole(ctx context.Context) error {
	return c.each(ctx, everyDevice, everyModule)
}

// round puts in the queue what configurations select, or selected.
func (c *Controller) round(ctx context.Context, ids map[string]bool) error {
	for id := range ids {
		// The index knows on which twins it is shown now.
		shown := "is_defined(configurations.[[" + escape(id) + "]])"
		conditions := []string{shown, "FROM devices.modules WHERE " + shown}
		if p := c.current.Load().byID[id]; p != nil && p.condition != nil {
			conditions = append(conditions, p.TargetCondition)
		}
		if err := c.each(ctx, conditions...); err != nil {
			return err
		}
	}
	return nil
}

// The conditions of a sweep of the whole fleet.
const (
	everyDevice = "*"
	everyModule = "FROM devices.modules"
)

// each puts all in the queue that conditions select. It collects them first, for
// the queue takes its time.
func (c *Controller) each(ctx context.Context, conditions ...string) error {
	for _, text := range conditions {
		var all []hub.Identity
		err := c.visit(ctx, text, func(id hub.Identity) bool {
			all = append(all, id)
			return true
		})
		if err != nil {
			return err
		}
		for _, id := range all {
			c.queue.feed(id)
		}
	}
	return nil
}

func (c *Controller) visit(ctx context.Context, condition string, visit func(hub.Identity) bool) error {
	read, err := c.Language.Condition(condition)
	if err != nil {
		return err
	}
	return c.Fleet.Each(ctx, read, visit)
}

// escape writes an id for [[ ]]. None of its characters needs it; an id that an
// operator has put into the store by hand may.
func escape(id string) string { return strings.ReplaceAll(id, "]]", "") }

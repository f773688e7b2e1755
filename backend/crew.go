package backend

import (
	"context"
	"sync"
	"sync/atomic"
)

// maxIdleWorkers is how many goroutines of a crew wait for work: as many calls
// as come together on a busy node.
const maxIdleWorkers = 64

// crew does pieces of work at once, each in a goroutine of its own. Some of
// them wait for the next piece instead of ending: their stacks have grown
// already, which costs more than a short piece of work.
type crew struct {
	over <-chan struct{} // nobody waits for work after it
	work chan func()     // is taken by who waits, at once or not at all
	idle atomic.Int32    // who waits, or is about to
	wg   sync.WaitGroup
}

// newCrew makes a crew that does not wait for work after ctx has ended.
func newCrew(ctx context.Context) *crew {
	return &crew{over: ctx.Done(), work: make(chan func())}
}

// do begins f and does not wait for it.
func (c *crew) do(f func()) {
	select {
	case c.work <- f:
	default:
		c.wg.Go(func() { c.run(f) })
	}
}

// run does f and what comes next, unless enough others wait for that.
func (c *crew) run(f func()) {
	for {
		f()
		if c.idle.Add(1) > maxIdleWorkers {
			c.idle.Add(-1)
			return
		}
		select {
		case f = <-c.work:
			c.idle.Add(-1)
		case <-c.over:
			c.idle.Add(-1)
			return
		}
	}
}

// wait returns when the context has ended and everything is done. do must not
// be called any more.
func (c *crew) wait() { c.wg.Wait() }

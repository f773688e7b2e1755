package configuration

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Controller applies configurations to twins, and shows on this node what
// applies to which. Set its fields before use. Every node of a hub runs one.
type Controller struct {
	Store    Watcher
	Language Language
	Fleet    Fleet
	Board    Board
	Twins    Twins
	Lease    Lease         // nil: this node always writes
	Report   func(Trouble) // what operators should know; called from several goroutines
	Now      func() time.Time

	current atomic.Pointer[set]
	queue   *queue
	sweeps  *sweeps
	writes  *guard
	shows   *guard
	away    atomic.Bool // twins can't be written, which has been told
	some    atomic.Bool // there is a configuration, or was since Run began
}

// Lease says which node of a hub writes.
type Lease interface {
	// Held reports whether this node has the lease.
	Held() bool
	// Run seeks the lease until ctx ends, and gives it back then. It calls got
	// each time that this node gets it.
	Run(ctx context.Context, got func())
}

// Trouble is something about a configuration and a twin that operators should
// know.
type Trouble struct {
	Configuration string
	ID            hub.Identity
	Code          hub.Code
	Message       string // one sentence
	Err           error  // for the log; may be nil
}

const (
	workers = 4
	// interval is how often all twins are looked at, whatever has changed; IoT
	// Hub's own.
	interval   = 5 * time.Minute
	retryAfter = time.Second // when NATS or the fleet does not answer
)

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	c.current.Store(&set{byID: map[string]*plan{}})
	c.queue, c.sweeps = newQueue(ctx), newSweeps()
	c.writes, c.shows = newGuard(c.now, freeWrites), newGuard(c.now, freeShows)
	loaded := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		first := sync.OnceFunc(func() { close(loaded) })
		c.Store.Watch(ctx, func(all []Configuration) {
			c.load(all)
			first()
		})
	})
	select { // without configurations everything would look as if it had lost its own
	case <-loaded:
	case <-ctx.Done():
		return
	}
	if !c.await(ctx) {
		return
	}
	wg.Go(func() { c.follow(ctx) })
	wg.Go(func() { c.sweep(ctx) })
	if c.Lease != nil {
		wg.Go(func() { c.Lease.Run(ctx, c.sweeps.all) })
	}
	for range workers {
		wg.Go(func() { c.work(ctx) })
	}
}

// Count is how many configurations this node applies or shows.
func (c *Controller) Count() int {
	if all := c.current.Load(); all != nil {
		return len(all.byID)
	}
	return 0
}

// await waits until the fleet is there as a whole: of half a document a condition
// may say anything.
func (c *Controller) await(ctx context.Context) bool {
	for ctx.Err() == nil {
		if err := c.visit(ctx, everyDevice, func(hub.Identity) bool { return false }); err == nil {
			return true
		}
		rest(ctx)
	}
	return false
}

// load takes the configurations as they are now. What has changed is swept.
func (c *Controller) load(all []Configuration) {
	before := c.current.Load()
	next := newSet(all, c.Language, func(id string, err error) {
		c.report(Trouble{Configuration: id, Code: hub.InvalidCondition, Message: "its target condition can't be read, and it selects nothing", Err: err})
	})
	c.current.Store(next)
	if len(all) > 0 {
		c.some.Store(true)
	}
	for id, p := range next.byID {
		if old := before.byID[id]; old == nil || old.Revision != p.Revision {
			c.sweeps.add(id)
		}
	}
	for id := range before.byID {
		if next.byID[id] == nil {
			c.sweeps.add(id)
		}
	}
}

// follow looks at what changes, and before at all there is: what happened while
// nobody followed is not known.
func (c *Controller) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.Fleet.Changes(ctx, c.sweeps.all, func(id hub.Identity) {
			// Also when the last one is gone: what it wrote may come to be known
			// only now. What was written before Run, the first sweep finds.
			if c.some.Load() {
				c.queue.add(id)
			}
		})
		if ctx.Err() != nil {
			return
		}
		c.report(Trouble{Code: hub.CodeOf(err), Message: "the changes of the fleet can't be followed; trying again", Err: err})
		rest(ctx)
	}
}

// work looks at what is in the queue.
func (c *Controller) work(ctx context.Context) {
	for {
		id, ok := c.queue.take()
		if !ok {
			return
		}
		c.look(ctx, id)
		c.queue.done(id)
	}
}

func (c *Controller) writer() bool { return c.Lease == nil || c.Lease.Held() }

func (c *Controller) report(t Trouble) {
	if c.Report != nil {
		c.Report(t)
	}
}

func (c *Controller) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// rest waits before the next try, or until ctx ends.
func rest(ctx context.Context) {
	t := time.NewTimer(retryAfter)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

package backend

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/meter"
)

// commits brings to disk what JetStream has acknowledged, before anybody else
// hears of it: one sync serves all that wait when it begins, and while it runs
// the next ones gather. A sync that begins after JetStream's acknowledgement
// covers the message, because the server has written it to a file by then. It is
// safe for concurrent use; a nil *commits has nothing to wait for.
//
// A sync that fails is the last one. The operating system reports a lost write
// once and then takes the page for clean, so that a later sync that succeeds
// says nothing of what was lost: whoever waits, then or later, gets an error, and
// the node has to end.
type commits struct {
	toDisk func() error
	wake   chan struct{} // has room for one
	stop   chan struct{} // closed by close
	done   chan struct{} // closed when no sync runs or will

	closed sync.Once

	mu      sync.Mutex
	next    *commit // what waits for the sync to come; nil: nobody does
	parties []party
	err     error     // why there is no other sync; nil: there is
	cause   error     // what a sync failed with
	begun   time.Time // of the sync that runs; zero: none does

	took meter.Histogram
}

// commit is one sync as those see it who wait for it.
type commit struct {
	done chan struct{} // closed when err is known
	err  error
}

// party is who has many to tell, and does not wait. Its methods are called by one
// goroutine, in turns.
type party interface {
	// seal sets apart what the sync covers that begins now, and reports whether
	// there is anything.
	seal() bool
	// synced says what became of it. After an error there is no other sync.
	synced(err error)
}

// newCommits starts the goroutine that syncs. toDisk nil makes a nil *commits.
func newCommits(toDisk func() error) *commits {
	if toDisk == nil {
		return nil
	}
	c := &commits{toDisk: toDisk, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go c.run()
	return c
}

// join adds a party, until close.
func (c *commits) join(p party) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parties = append(c.parties, p)
}

// kick has a sync begin as soon as none runs, for a party that has something.
func (c *commits) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// wait returns nil when the disk has what JetStream has acknowledged before the
// call. It fails when ctx ends first, or a sync failed.
func (c *commits) wait(ctx context.Context) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	if c.next == nil {
		c.next = &commit{done: make(chan struct{})}
	}
	mine := c.next
	c.mu.Unlock()
	c.kick()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return hub.Errorf(hub.ServiceUnavailable, "the disk did not take in time what was stored: %w", ctx.Err())
	}
}

func (c *commits) run() {
	defer close(c.done)
	for {
		select {
		case <-c.stop:
			c.end(errStopping(), nil)
			return
		case <-c.wake:
		}
		if err := c.round(); err != nil {
			c.end(lostOnDisk(err), err)
			return
		}
	}
}

// round makes one sync for all that wait, if anybody does, and tells them.
func (c *commits) round() error {
	c.mu.Lock()
	mine, parties := c.next, c.parties
	c.next = nil
	c.mu.Unlock()
	waiting := mine != nil
	for _, p := range parties {
		waiting = p.seal() || waiting
	}
	if !waiting {
		return nil
	}
	cause := c.timed()
	err := lostOnDisk(cause)
	for _, p := range parties {
		p.synced(err)
	}
	if mine != nil {
		mine.err = err
		close(mine.done)
	}
	return cause
}

// lostOnDisk is what those hear who waited for a sync that failed.
func lostOnDisk(cause error) error {
	if cause == nil {
		return nil
	}
	return hub.Errorf(hub.ServiceUnavailable, "the disk may have lost it: %w", cause)
}

// timed is a sync with its time taken.
func (c *commits) timed() error {
	began := time.Now()
	c.note(began)
	err := c.toDisk()
	c.note(time.Time{})
	c.took.Observe(time.Since(began))
	return err
}

func (c *commits) note(begun time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = begun
}

// end answers all that wait, and will. cause is what a sync failed with, if one did.
func (c *commits) end(err, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.cause = err, cause
	if c.next != nil {
		c.next.err = err
		close(c.next.done)
		c.next = nil
	}
}

// close makes no other sync. It waits for the one that runs until ctx ends.
func (c *commits) close(ctx context.Context) {
	if c == nil {
		return
	}
	c.closed.Do(func() { close(c.stop) })
	select {
	case <-c.done:
	case <-ctx.Done():
	}
}

// durations is how long syncs took.
func (c *commits) durations() meter.Durations {
	if c == nil {
		return meter.Durations{}
	}
	return c.took.Durations()
}

// fault is what a sync failed with; nil: none did.
func (c *commits) fault() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// slowSync is from when on a sync that runs makes a node count as not ready.
const slowSync = 10 * time.Second

// trouble is why nothing is acknowledged at the moment; nil: it is.
func (c *commits) trouble() error {
	if c == nil {
		return nil
	}
	if err := lostOnDisk(c.fault()); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := time.Since(c.begun); !c.begun.IsZero() && d > slowSync {
		return hub.Errorf(hub.ServiceUnavailable, "the disk has not finished a sync for %v", d.Round(time.Second))
	}
	return nil
}

// Committed returns nil when what JetStream has acknowledged before the call is
// as durable as the hub promises: with Sync of the configuration, on disk. The
// stores of this package wait by themselves; it is for who writes through
// [Backbone.Conn].
func (b *Backbone) Committed(ctx context.Context) error { return b.commits.wait(ctx) }

// Broken returns an error when a sync has failed: from then on nothing is
// acknowledged, and the node has to end. It returns nil after Close, and at once
// without Sync in the configuration.
func (b *Backbone) Broken() error {
	if b.commits == nil {
		return nil
	}
	<-b.commits.done
	if cause := b.commits.fault(); cause != nil {
		return fmt.Errorf("the disk may have lost what was stored last, none of which was acknowledged; look at the disk, and start the hub again: %w", cause)
	}
	return nil
}

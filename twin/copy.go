package twin

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/hubgate/hubgate/hub"
)

// Copy is the twin of a connected device as the node knows it that has the
// connection. While it is current, a GET needs no store and a reported patch
// one compare-and-set; announcements say when it is not. It also decides what
// the device is told of desired properties, so that versions only rise.
//
// Its methods may be called from any goroutine. Those with a context wait for
// each other and for the store; the others don't.
type Copy struct {
	twins *Twins
	id    hub.Identity
	owner Owner
	send  func(Notification) bool

	io sync.Mutex // held by who talks to the store

	mu       sync.Mutex
	twin     Twin
	loaded   bool
	newest   uint64 // revision that was announced; beyond twin.Revision the copy is old
	stale    bool   // somebody may have written without our hearing of it
	notified int64  // $version of the last notification
	seen     int64  // $version of desired in the last answer to a GET, or of the beginning
	told     *value // desired as the device knows it; nil: it knows nothing
	since    ticks  // when the device subscribed first; 0: not yet
	behind   bool   // a notification is missing: [Copy.Sync] has to make it good
	deaf     bool   // it is missing because the device has not subscribed yet
	latest   int64  // $version that was announced
}

// skew is by how much the clocks of two nodes may differ. Being told once more
// what it has does a device no harm.
const skew = 10 * ticksPerSecond

// Open makes the copy for one connection. It reads nothing yet. send is called
// with what the device is to be told, one after another and in the order of
// versions, and returns false when the device has not subscribed; it must not
// wait, nor call the copy.
func (s *Twins) Open(id hub.Identity, o Owner, send func(Notification) bool) *Copy {
	return &Copy{twins: s, id: id, owner: o, send: send}
}

// Device calls answer with the twin as its device gets it. No notification of
// a later version is sent before answer returns; it must not wait, nor call the
// copy.
func (c *Copy) Device(ctx context.Context, answer func(body []byte)) error {
	c.io.Lock()
	defer c.io.Unlock()
	for try := 1; ; try++ {
		t, _, err := c.current(ctx)
		if err == nil {
			t, err = c.fence(ctx, t)
		}
		if err != nil && !errors.Is(err, errRace) {
			return err
		}
		if err == nil && c.answered(t, answer) {
			return nil
		}
		if err := pause(ctx, c.id, try); err != nil {
			return err
		}
	}
}

// answered gives the answer, unless a device that was told more has to wait
// for a newer copy.
func (c *Copy) answered(t Twin, answer func([]byte)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.desired.version < c.notified {
		c.stale = true
		return false
	}
	c.seen, c.told = t.desired.version, t.desired.root
	answer(t.Device())
	return true
}

// PatchReported merges what the device sent into its reported properties and
// returns their new $version; see [Twin.PatchReported].
func (c *Copy) PatchReported(ctx context.Context, body []byte, ifVersion int64) (version int64, err error) {
	p, err := ParseReported(body)
	if err != nil {
		return 0, err
	}
	c.io.Lock()
	defer c.io.Unlock()
	turn, err := c.twins.turns.take(ctx, c.id)
	if err != nil {
		return 0, err
	}
	defer c.twins.turns.give(c.id, turn)
	for try := 1; ; try++ {
		t, from, err := c.current(ctx)
		if err != nil {
			return 0, err
		}
		next, err := c.writeReported(ctx, t, p, ifVersion)
		switch {
		case err == nil:
			c.keep(next)
			return next.reported.version, nil
		case !c.mayRetry(err, from):
			return 0, err
		}
		if err := pause(ctx, c.id, try); err != nil {
			return 0, err
		}
	}
}

// writeReported merges p into t, unless a newer connection has written t.
func (c *Copy) writeReported(ctx context.Context, t Twin, p Patch, ifVersion int64) (Twin, error) {
	if err := c.check(ctx, t); err != nil {
		return Twin{}, err
	}
	return c.twins.put(ctx, t, c.id.String(), func(t Twin) (Twin, Change, error) {
		next, change, err := t.PatchReported(p, ifVersion, c.twins.now())
		next.Epoch = cmp.Or(c.owner.Epoch, t.Epoch)
		return next, change, err
	})
}

// mayRetry reports whether a write of old that failed may succeed with the twin
// read again: when somebody else was faster, and when the rules refused it and
// old was a copy that others may have left behind.
func (c *Copy) mayRetry(err error, old origin) bool {
	raced, status := errors.Is(err, errRace), hub.CodeOf(err).Status()
	if raced || old == kept || status >= 500 { // after the latter it may be stored
		c.Invalidate()
	}
	return raced || old == kept && status < 500
}

// Sync reads the twin and tells the device what it has missed: what is between
// the desired properties that it knows and those that there are. Of a device that
// was told nothing and has not read its twin it finds out where it begins, and
// tells it all if that was written after it had subscribed. Call it when
// [Copy.Subscribed] or [Copy.Announced] says so, and for every connection when
// announcements were interrupted.
func (c *Copy) Sync(ctx context.Context) error {
	c.io.Lock()
	defer c.io.Unlock()
	for try := 1; ; try++ {
		t, err := c.load(ctx)
		if err != nil {
			return err
		}
		if c.caughtUp(t) {
			return nil
		}
		if err := pause(ctx, c.id, try); err != nil {
			return err
		}
	}
}

// caughtUp tells the device of t. It returns false when there is a newer
// version by now.
func (c *Copy) caughtUp(t Twin) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, version := max(c.notified, c.seen), t.desired.version
	switch {
	case c.told == nil && c.since != 0 && t.desired.root.mark.ticks > c.since-skew:
		c.tell(t.Desired(), t.desired.root)
	case c.told == nil:
		c.seen, c.told = version, t.desired.root
	case version > known:
		c.tell(Notification{version, appendVersioned(nil, diff(c.told, t.desired.root), version)}, t.desired.root)
	}
	if c.latest > version {
		return false
	}
	c.behind = c.deaf
	return true
}

// Subscribed says that the device hears of desired properties from now on. It
// returns true when some have changed since it read its twin: a device that
// reads first and then subscribes, as Node's SDK does, would else never hear of
// a change in between. Then [Copy.Sync] has to be called.
func (c *Copy) Subscribed() (behind bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	behind, c.deaf = c.deaf, false
	if !behind && c.since == 0 { // else Sync finds out where it begins
		c.since = ticksOf(c.twins.now())
	}
	return behind
}

// Replay tells the device all desired properties, whatever it knows.
func (c *Copy) Replay(ctx context.Context) error {
	c.io.Lock()
	defer c.io.Unlock()
	t, _, err := c.current(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.desired.version >= c.notified {
		c.tell(t.Desired(), t.desired.root)
	}
	return nil
}

// Announced takes in what a back end has written and tells the device of it,
// unless it knows already. It returns true when something is missing before it:
// then [Copy.Sync] has to be called, from a goroutine that may wait.
func (c *Copy) Announced(a Announcement) (behind bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.newest = max(c.newest, a.Revision)
	n := a.Desired
	if n.Version == 0 {
		return false
	}
	c.latest = max(c.latest, n.Version)
	known := max(c.notified, c.seen)
	switch {
	case c.behind:
		return !c.deaf
	case n.Version <= c.notified, n.Version < c.seen:
		return false
	case known != 0 && n.Version > known+1:
		c.behind = true
		return true
	}
	p, err := ParseReported(n.Body) // of the same form
	if err != nil {
		c.behind = true
		return true
	}
	c.tell(n, merge(c.told, p.reported, mark{}))
	return false
}

// Written says that the twin was written a while ago, with this revision. It
// returns true when nothing has told of that: then [Copy.Sync] has to be called,
// from a goroutine that may wait.
func (c *Copy) Written(revision uint64) (missed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if revision <= max(c.newest, c.twin.Revision) {
		return c.behind && !c.deaf // the reading that was to make it good may have failed
	}
	c.newest = revision
	return true
}

// tell sends a notification, after which the device knows desired. c.mu is
// held.
func (c *Copy) tell(n Notification, desired *value) {
	if !c.send(n) {
		c.behind, c.deaf = true, true
		return
	}
	c.notified, c.told = n.Version, desired
}

// Invalidate makes the next GET or write read the twin again.
func (c *Copy) Invalidate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = true
}

// origin is where a twin comes from.
type origin string

const (
	kept   origin = "kept"   // by the copy
	reread origin = "reread" // from the store, just now
)

// current returns the twin: the copy that is kept, or read again if that is
// not current. c.io is held.
func (c *Copy) current(ctx context.Context) (Twin, origin, error) {
	c.mu.Lock()
	t, ok := c.twin, c.loaded && !c.stale && c.newest <= c.twin.Revision
	c.mu.Unlock()
	if ok {
		return t, kept, nil
	}
	t, err := c.load(ctx)
	return t, reread, err
}

// load reads the twin. A replica of the store may be behind what was announced
// already; it is given some time. c.io is held.
func (c *Copy) load(ctx context.Context) (Twin, error) {
	for try := 1; ; try++ {
		t, err := c.loadOnce(ctx)
		if err != nil {
			c.Invalidate()
			return Twin{}, err
		}
		if c.keep(t) {
			return t, nil
		}
		if err := pause(ctx, c.id, try); err != nil {
			return Twin{}, err
		}
	}
}

func (c *Copy) loadOnce(ctx context.Context) (Twin, error) {
	c.mu.Lock()
	c.stale = false // what becomes known from here on counts
	before, loaded, known := c.twin.Generation, c.loaded, max(c.twin.Revision, c.newest)
	c.mu.Unlock()
	t, err := c.twins.Store.Get(ctx, c.id)
	if err == nil && (loaded && t.Generation != before || c.owner.Generation != "" && c.owner.Generation != t.Generation) {
		return Twin{}, hub.Errorf(hub.DeviceNotFound, "%s was deleted and created again", c.id)
	}
	if err == nil && t.Revision < known {
		err = c.goBack(ctx, known)
	}
	return t, err
}

// goBack forgets which writes the copy knows of when the store can't have had the last
// of them: it was put back from a backup. What the device was told it still knows.
func (c *Copy) goBack(ctx context.Context, known uint64) error {
	written, err := c.twins.Store.Written(ctx, known)
	if err != nil || written {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.twin, c.loaded, c.newest = Twin{}, false, 0
	c.notified, c.seen, c.latest = 0, 0, 0
	return nil
}

// keep makes t the copy. It returns false when a later one was announced.
func (c *Copy) keep(t Twin) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.twin, c.loaded = t, true
	return t.Revision >= c.newest
}

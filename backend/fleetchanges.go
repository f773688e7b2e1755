package backend

import (
	"context"
	"sync"

	"github.com/hubgate/hubgate/hub"
)

// maxPending is how many changes wait for one listener; when there are more, it
// hears of everybody.
const maxPending = 64 << 10

// changes passes on which documents have changed. It is safe for concurrent use.
type changes struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
}

// listener is somebody who hears of changes.
type listener struct {
	mu      sync.Mutex
	pending map[hub.Identity]struct{}
	all     bool
	wake    chan struct{} // has room for one
}

// add notes a change. It does not wait.
func (c *changes) add(id hub.Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.listeners {
		l.add(id)
	}
}

func (c *changes) listen() *listener {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &listener{pending: map[hub.Identity]struct{}{}, wake: make(chan struct{}, 1)}
	if c.listeners == nil {
		c.listeners = map[*listener]struct{}{}
	}
	c.listeners[l] = struct{}{}
	return l
}

func (c *changes) leave(l *listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.listeners, l)
}

func (l *listener) add(id hub.Identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.all {
		l.pending[id] = struct{}{}
	}
	if len(l.pending) > maxPending {
		l.pending, l.all = map[hub.Identity]struct{}{}, true
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take returns what has changed since the last time; all means everybody.
func (l *listener) take() (some map[hub.Identity]struct{}, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	some, all = l.pending, l.all
	l.pending, l.all = map[hub.Identity]struct{}{}, false
	return some, all
}

// Changes calls told, from one goroutine, for each identity whose document has
// changed from now on, or that is gone, once the index has that. Several changes
// of one identity may be told once, and whoever is slow may be told of
// everybody; then, also of those that are gone, at most of those that are there.
// It returns nil when ctx ends.
func (f *Fleet) Changes(ctx context.Context, told func(hub.Identity)) error {
	return f.ChangesFrom(ctx, func() {}, told)
}

// ChangesFrom is [Fleet.Changes] for those who read the fleet too: what it has
// when begun is called, or what they are told of, is all there is.
func (f *Fleet) ChangesFrom(ctx context.Context, begun func(), told func(hub.Identity)) error {
	l := f.watches.listen()
	defer f.watches.leave(l)
	begun()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		}
		some, all := l.take()
		for id := range some {
			told(id)
		}
		if all {
			f.catalog.each(ctx, told)
		}
	}
}

// each visits all identities. No lock is held when visit is called.
func (x *catalog) each(ctx context.Context, visit func(hub.Identity)) {
	for i := range x.shards {
		for _, id := range x.shards[i].ids() {
			if ctx.Err() != nil {
				return
			}
			visit(id)
		}
	}
}

func (s *shard) ids() []hub.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]hub.Identity, 0, len(s.entries))
	for key, e := range s.entries {
		if id, err := hub.ParseIdentity(key); err == nil && e.record != noGeneration {
			ids = append(ids, id)
		}
	}
	return ids
}

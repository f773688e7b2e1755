package twin

import (
	"context"
	"sync"

	"github.com/hubgate/hubgate/hub"
)

// turns has the writers of one twin on this node take turns, first come first
// served. Compare-and-set alone is right but not fair: a device that patches
// without pause, from a copy that is always current, would let no back end win.
// Writers on other nodes still race.
type turns struct {
	mu   sync.Mutex
	byID map[hub.Identity]*turn
}

// turn is a twin that somebody writes.
type turn struct {
	held  chan struct{} // has room for one: who holds it has put something in
	users int           // who hold it or wait for it
}

// take waits for the turn of id, which the caller gives back.
func (t *turns) take(ctx context.Context, id hub.Identity) (*turn, error) {
	t.mu.Lock()
	v := t.byID[id]
	if v == nil {
		if t.byID == nil {
			t.byID = map[hub.Identity]*turn{}
		}
		v = &turn{held: make(chan struct{}, 1)}
		t.byID[id] = v
	}
	v.users++
	t.mu.Unlock()
	select {
	case v.held <- struct{}{}:
		return v, nil
	case <-ctx.Done():
		t.leave(id, v)
		return nil, hub.Errorf(hub.GatewayTimeout, "the twin of %s is busy, and the time for the request is over: %w", id, ctx.Err())
	}
}

// give ends a turn.
func (t *turns) give(id hub.Identity, v *turn) {
	<-v.held
	t.leave(id, v)
}

func (t *turns) leave(id hub.Identity, v *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v.users--; v.users == 0 {
		delete(t.byID, id)
	}
}

package main

import (
	"context"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// overdueAfter is how long an announcement may take at least: so much later
// than the twin was written, its device is told of it another way.
const overdueAfter = 2 * time.Second

// overdue holds the revisions of twins until they were written long enough ago.
// It is safe for concurrent use.
type overdue struct {
	mu          sync.Mutex
	young, aged map[hub.Identity]uint64
}

func newOverdue() *overdue {
	return &overdue{young: map[hub.Identity]uint64{}, aged: map[hub.Identity]uint64{}}
}

func (o *overdue) add(id hub.Identity, revision uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.young[id] = max(o.young[id], revision)
}

// turn returns what was there at the last turn.
func (o *overdue) turn() map[hub.Identity]uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	due := o.aged
	o.young, o.aged = make(map[hub.Identity]uint64, len(o.young)), o.young
	return due
}

// followTwins brings devices up to date whose twins were written without an
// announcement that has come, until ctx ends.
func (n *node) followTwins(ctx context.Context) {
	o := newOverdue()
	n.back.Fleet().OnTwin(func(id hub.Identity, revision uint64) {
		if n.gateway.Handler(id) != nil {
			o.add(id, revision)
		}
	})
	t := time.NewTicker(overdueAfter)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			for id, revision := range o.turn() {
				n.face.TwinWritten(n.gateway, id, revision)
			}
		}
	}
}

package configuration

import (
	"context"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// queue is the identities to look at. Each is in it once, and is looked at by
// one worker at a time: what is added meanwhile is looked at again.
type queue struct {
	mu     sync.Mutex
	more   *sync.Cond // there is something to do, or it is over
	less   *sync.Cond // there is less to do, or it is over
	ready  []hub.Identity
	states map[hub.Identity]state
	later  map[hub.Identity]alarm
	over   bool
}

// alarm is when an identity is to be looked at.
type alarm struct {
	at    time.Time
	timer *time.Timer
}

// state is where an identity of the queue is.
type state int

const (
	waiting state = iota + 1
	working
	again // working, and then waiting
)

// newQueue returns a queue that is over when ctx ends.
func newQueue(ctx context.Context) *queue {
	q := &queue{states: map[hub.Identity]state{}, later: map[hub.Identity]alarm{}}
	q.more, q.less = sync.NewCond(&q.mu), sync.NewCond(&q.mu)
	context.AfterFunc(ctx, q.end)
	return q
}

func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	for _, a := range q.later {
		a.timer.Stop()
	}
	q.more.Broadcast()
	q.less.Broadcast()
}

// add puts an identity in the queue.
func (q *queue) add(id hub.Identity) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put(id)
}

func (q *queue) put(id hub.Identity) {
	if q.over {
		return
	}
	switch q.states[id] {
	case waiting, again:
	case working:
		q.states[id] = again
	default:
		q.states[id] = waiting
		q.ready = append(q.ready, id)
		q.more.Signal()
	}
}

// feed is add for the many of a sweep: it waits while the queue is long.
func (q *queue) feed(id hub.Identity) {
	const long = 1024
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) >= long && !q.over {
		q.less.Wait()
	}
	q.put(id)
}

// after adds an identity after a time, unless it is due earlier already.
func (q *queue) after(id hub.Identity, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := time.Now().Add(d)
	old, known := q.later[id]
	if q.over || known && !at.Before(old.at) {
		return
	}
	if known {
		old.timer.Stop()
	}
	q.later[id] = alarm{at, time.AfterFunc(d, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.later, id)
		q.put(id)
	})}
}

// take waits for an identity to look at; false: it is over.
func (q *queue) take() (hub.Identity, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) == 0 && !q.over {
		q.more.Wait()
	}
	if q.over {
		return hub.Identity{}, false
	}
	id := q.ready[0]
	if q.ready = q.ready[1:]; len(q.ready) == 0 {
		q.ready = nil // and what is before it with it
	}
	q.states[id] = working
	q.less.Signal()
	return id, true
}

// done says that an identity has been looked at.
func (q *queue) done(id hub.Identity) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := q.states[id] == again
	delete(q.states, id)
	if next {
		q.put(id)
	}
}

// idle reports whether there is nothing to do, now or later.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.states) == 0 && len(q.later) == 0
}

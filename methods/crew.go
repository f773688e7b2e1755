package methods

import (
	"sync"

	"github.com/hubgate/hubgate/hub"
)

// crew works for one device after another, never twice for one at a time.
type crew struct {
	limit int // of devices that are worked for at the same time
	work  func(hub.Identity)

	mu      sync.Mutex
	queue   []hub.Identity
	known   map[hub.Identity]bool // queued or worked for; true: once more
	running int
	closed  bool
	wg      sync.WaitGroup
}

// wake has the work done for id, once more if it is being done.
func (w *crew) wake(id hub.Identity) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if _, known := w.known[id]; known {
		w.known[id] = true
		return
	}
	if w.known == nil {
		w.known = make(map[hub.Identity]bool)
	}
	w.known[id] = false
	w.queue = append(w.queue, id)
	if w.running < w.limit {
		w.running++
		w.wg.Go(w.run)
	}
}

// isBusy reports whether id is queued or worked for.
func (w *crew) isBusy(id hub.Identity) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, known := w.known[id]
	return known
}

func (w *crew) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

func (w *crew) run() {
	for {
		id, ok := w.next()
		if !ok {
			return
		}
		w.work(id)
		w.done(id)
	}
}

func (w *crew) next() (hub.Identity, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 || w.closed {
		w.running--
		return hub.Identity{}, false
	}
	id := w.queue[0]
	w.queue = w.queue[1:]
	w.known[id] = false
	return id, true
}

func (w *crew) done(id hub.Identity) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[id] && !w.closed {
		w.queue = append(w.queue, id)
		return
	}
	delete(w.known, id)
}

// close begins no more work and waits for what is being done.
func (w *crew) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wg.Wait()
}

package backend

import (
	"sync"

	"github.com/hubgate/hubgate/hub"
)

// room bounds what is in flight, in number and in bytes.
type room struct {
	mu     sync.Mutex
	empty  sync.Cond // of used
	calls  int
	bytes  int // that may come yet
	used   int
	closed bool
}

func newRoom(calls, bytes int) *room {
	r := &room{calls: calls, bytes: bytes}
	r.empty.L = &r.mu
	return r
}

// take lets one more in. It fails with Throttled when there is no room, and
// with ServiceUnavailable after close.
func (r *room) take(size int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errStopping()
	}
	if r.used >= r.calls || size > r.bytes {
		return hub.Errorf(hub.Throttled, "this node has %d calls in flight; try again later", r.used)
	}
	r.used++
	r.bytes -= size
	return nil
}

// give undoes take.
func (r *room) give(size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used--
	r.bytes += size
	if r.used == 0 {
		r.empty.Broadcast()
	}
}

func (r *room) inUse() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// close admits nothing more and waits until all have left.
func (r *room) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for r.used > 0 {
		r.empty.Wait()
	}
}

package backend

import "sync"

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

// take reports whether one more fits.
func (r *room) take(size int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.used >= r.calls || size > r.bytes {
		return false
	}
	r.used++
	r.bytes -= size
	return true
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

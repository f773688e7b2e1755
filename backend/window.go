package backend

import "math/bits"

// window is the messages that are not acknowledged yet, oldest first. A
// message has a number, one more than the one before; the numbers from head
// to tail are in the ring, with holes where a later one was acknowledged
// first. Engine.mu guards all of it.
type window struct {
	ring []*slot // message seq is at seq & (len-1)
	head uint64  // the oldest message that waits; == tail: none
	next uint64  // the first that has not been published since the last setback
	tail uint64  // the number of the message to come

	reserved int // places given to calls of Store that are not in the ring yet
	held     int // places of messages that were taken out, and whose answers wait for the disk
	max      int
	bytes    int64
	maxBytes int64

	free    []*slot
	peak    int // the most places taken since the last trim
	waiting queue
}

func newWindow(messages int, bytes int64) window {
	return window{
		ring: make([]*slot, 1<<bits.Len(uint(messages-1))),
		max:  messages, maxBytes: bytes,
		head: 1, next: 1, tail: 1,
	}
}

// used is how many places are taken, holes included: the ring must not wrap.
func (w *window) used() int { return int(w.tail-w.head) + w.reserved }

func (w *window) at(seq uint64) *slot {
	if seq < w.head || seq >= w.tail {
		return nil
	}
	return w.ring[seq&uint64(len(w.ring)-1)]
}

// admits says whether a message of this size may enter. One always may, even
// one that is larger than the whole limit.
func (w *window) admits(size int64) bool {
	used := w.used() + w.held
	return used == 0 || used < w.max && w.bytes+size <= w.maxBytes
}

// reserve takes a place for a message that admits has let in.
func (w *window) reserve(size int64) *slot {
	w.reserved++
	w.bytes += size
	w.peak = max(w.peak, w.used())
	s := w.unused()
	s.size = size
	s.refs.Store(1)
	return s
}

func (w *window) unused() *slot {
	if len(w.free) == 0 {
		return new(slot)
	}
	s := w.free[len(w.free)-1]
	w.free = w.free[:len(w.free)-1]
	return s
}

// add puts a filled slot in its place, the last one.
func (w *window) add(s *slot) {
	w.reserved--
	s.seq = w.tail
	w.ring[s.seq&uint64(len(w.ring)-1)] = s
	w.tail++
}

// remove takes a message out: it is settled. The caller gives up the window's
// reference.
func (w *window) remove(s *slot) {
	w.ring[s.seq&uint64(len(w.ring)-1)] = nil
	w.bytes -= s.size
	for w.head < w.tail && w.at(w.head) == nil {
		w.head++
	}
	w.next = max(w.next, w.head)
	w.wake()
}

// recycle takes back a slot that nobody refers to any more.
func (w *window) recycle(s *slot) {
	s.empty()
	w.free = append(w.free, s)
}

// trim leaves the garbage collector the slots that have not been needed since
// the last trim.
func (w *window) trim() {
	keep := max(w.peak-w.used(), 0)
	if keep < len(w.free) {
		w.free = append(make([]*slot, 0, keep), w.free[len(w.free)-keep:]...)
	}
	w.peak = w.used()
}

// wake lets in those who wait, first come first served.
func (w *window) wake() {
	for t := w.waiting.first; t != nil && w.admits(t.size); t = w.waiting.first {
		w.waiting.pop()
		t.ready <- w.reserve(t.size)
	}
}

// turnAway tells those who wait that there will be no place.
func (w *window) turnAway() {
	for t := w.waiting.pop(); t != nil; t = w.waiting.pop() {
		t.ready <- nil
	}
}

// ticket is one call of Store that waits for a place.
type ticket struct {
	size  int64
	ready chan *slot // has room for one
	next  *ticket
}

// queue is the tickets in the order in which they came.
type queue struct{ first, last *ticket }

func (q *queue) push(t *ticket) {
	t.next = nil
	if q.last == nil {
		q.first, q.last = t, t
		return
	}
	q.last.next = t
	q.last = t
}

func (q *queue) pop() *ticket {
	t := q.first
	if t == nil {
		return nil
	}
	q.first = t.next
	if q.first == nil {
		q.last = nil
	}
	return t
}

package gateway

import "sync"

// line is connections that wait for the same thing to be done with each. A worker
// does it with one after another, so that a connection costs no change of goroutines.
// Who takes one while more wait has called the next worker before: nobody waits for a
// connection that takes its time. Its methods may be called by any goroutine, and do
// not block.
type line struct {
	do      func(*conn)
	workers *workers
	task    func() // work, of a worker

	mu     sync.Mutex
	conns  []*conn // those before first are taken
	first  int
	called bool // a worker is on its way
}

func newLine(w *workers, do func(*conn)) *line {
	l := &line{workers: w, do: do}
	l.task = l.work
	return l
}

// add puts connections at the end of the line.
func (l *line) add(conns ...*conn) {
	l.mu.Lock()
	if len(l.conns)+len(conns) > cap(l.conns) && l.first > len(l.conns)/2 {
		n := copy(l.conns, l.conns[l.first:])
		clear(l.conns[n:])
		l.conns, l.first = l.conns[:n], 0
	}
	l.conns = append(l.conns, conns...)
	l.unlock()
}

// unlock unlocks l.mu, and calls a worker if connections wait and none is on its way.
func (l *line) unlock() {
	call := !l.called && l.first < len(l.conns)
	l.called = l.called || call
	l.mu.Unlock()
	if call {
		l.workers.start(l.task)
	}
}

// work is done by a worker that was called.
func (l *line) work() {
	l.mu.Lock()
	l.called = false
	l.mu.Unlock()
	for c := l.next(); c != nil; c = l.next() {
		l.do(c)
	}
}

// next takes the first connection out of the line, and has others looked after. It
// returns nil when none waits.
func (l *line) next() *conn {
	l.mu.Lock()
	if l.first == len(l.conns) {
		l.conns, l.first = l.conns[:0], 0
		l.mu.Unlock()
		return nil
	}
	c := l.conns[l.first]
	l.conns[l.first] = nil
	l.first++
	l.unlock()
	return c
}

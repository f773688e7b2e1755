package gateway

import (
	"runtime"
	"sync"
	"syscall"
	"time"
)

// flushQueue flushes connections one after another. One goroutine for each processor
// does it for all of them, so that a PUBACK costs no change of goroutines; one that has
// to wait for a peer who does not read is replaced before it does.
type flushQueue struct {
	idle time.Duration // how long a goroutine lingers
	turn chan struct{} // unbuffered: an idle goroutine receives
	quit <-chan struct{}

	mu    sync.Mutex
	conns []*conn // those before first are done
	first int
	busy  int // flushers that go on as long as there are conns
	most  int // flushers that are busy at once
}

func newFlushQueue(idle time.Duration, quit <-chan struct{}) *flushQueue {
	return &flushQueue{idle: idle, turn: make(chan struct{}), quit: quit, most: runtime.GOMAXPROCS(0)}
}

// add has c flushed, whose source has a socket. It does not block.
func (q *flushQueue) add(c *conn) {
	q.mu.Lock()
	q.push(c)
	start := q.busy < q.most
	if start {
		q.busy++
	}
	q.mu.Unlock()
	if !start {
		return
	}
	select {
	case q.turn <- struct{}{}:
	default:
		go newFlusher(q).run()
	}
}

// again has c flushed after the others, by whoever is busy.
func (q *flushQueue) again(c *conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.push(c)
}

// push adds c behind the others; q.mu is held.
func (q *flushQueue) push(c *conn) {
	if len(q.conns) == cap(q.conns) && q.first > len(q.conns)/2 {
		n := copy(q.conns, q.conns[q.first:])
		clear(q.conns[n:])
		q.conns, q.first = q.conns[:n], 0
	}
	q.conns = append(q.conns, c)
}

// next takes the first connection. If there is none, the caller is not busy any more.
func (q *flushQueue) next() *conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == len(q.conns) {
		q.conns, q.first = q.conns[:0], 0
		q.busy--
		return nil
	}
	c := q.conns[q.first]
	q.conns[q.first] = nil
	q.first++
	return c
}

// flusher is a goroutine of a flushQueue.
type flusher struct {
	queue *flushQueue

	mu   sync.Mutex
	now  *tcpSource // whose connection it flushes; nil: none
	left bool       // another one is busy in its place

	// Of the try that is running.
	trying     sync.Mutex
	onWritable func(fd uintptr) bool
	out        []byte
	wrote      int
	err        error
}

func newFlusher(q *flushQueue) *flusher {
	f := &flusher{queue: q}
	f.onWritable = f.writable
	return f
}

// run flushes until nothing has been to do for a while.
func (f *flusher) run() {
	q := f.queue
	linger := time.NewTimer(q.idle)
	defer linger.Stop()
	for {
		for c := q.next(); c != nil; c = q.next() {
			more, left := f.flush(c)
			switch {
			case left && more:
				q.add(c)
				return
			case left:
				return
			case more:
				q.again(c)
			}
		}
		linger.Reset(q.idle)
		select {
		case <-q.turn:
		case <-linger.C:
			return
		case <-q.quit:
			return
		}
	}
}

// flush writes what waits, and reports whether there is more, and whether f has left
// the queue to another one.
func (f *flusher) flush(c *conn) (more, left bool) {
	s := c.src.socket()
	f.mu.Lock()
	f.now = s
	f.mu.Unlock()
	s.flusher.Store(f)
	// A TLS connection has its reader write at times, which others then wait for. Who
	// began before it could know of f is seen here; who begins later sees f.
	if s.writes.Load() > 0 {
		f.leave(s)
	}
	more = c.flushSome()
	s.flusher.CompareAndSwap(f, nil) // another one may flush it already
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = nil
	return more, f.left
}

// leave has another flusher take over, if f still flushes the connection of s. It may
// be called more than once, from any goroutine.
func (f *flusher) leave(s *tcpSource) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == s && !f.left {
		f.left = true
		go newFlusher(f.queue).run()
	}
}

// try writes what the socket takes without waiting.
func (f *flusher) try(raw syscall.RawConn, b []byte) (n int, err error) {
	f.trying.Lock()
	defer f.trying.Unlock()
	f.out, f.wrote, f.err = b, 0, nil
	err = raw.Write(f.onWritable)
	f.out = nil
	if err == nil {
		err = f.err
	}
	return f.wrote, err
}

// writable is called once for each try, whether the socket is writable or not, and
// never asks to be called again.
func (f *flusher) writable(fd uintptr) bool {
	f.wrote, f.err = writeSocket(fd, f.out)
	return true
}

package backend

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/backend/embedded"
)

// weather is the network between a node and NATS: it delays, holds back what
// goes one way, and cuts connections, with what is on its way in them.
type weather struct {
	t      *testing.T
	target string
	ln     net.Listener

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
	held   [2]chan struct{} // by direction; nil: nothing is held back
	wg     sync.WaitGroup
}

// The directions.
const (
	upward   = 0 // requests
	downward = 1 // answers
)

// newWeather returns a network to a server, and the URL under which a node finds
// it there.
func newWeather(t *testing.T, s *embedded.Server) (w *weather, natsURL string) {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w = &weather{t: t, target: u.Host, ln: ln, conns: map[net.Conn]struct{}{}}
	w.wg.Go(w.accept)
	t.Cleanup(w.close)
	u.Host = ln.Addr().String()
	return w, u.String()
}

func (w *weather) accept() {
	for {
		near, err := w.ln.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		w.mu.Lock()
		if w.closed {
			_, _ = near.Close(), far.Close()
		}
		w.conns[near], w.conns[far] = struct{}{}, struct{}{}
		w.mu.Unlock()
		w.wg.Go(func() { w.pass(upward, far, near) })
		w.wg.Go(func() { w.pass(downward, near, far) })
	}
}

// pass copies what goes one way until either end is closed.
func (w *weather) pass(direction int, to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		w.wait(direction)
		if n > 0 {
			if _, werr := to.Write(b[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			_ = to.Close()
			_ = from.Close()
			w.mu.Lock()
			delete(w.conns, from)
			w.mu.Unlock()
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !isReset(err) {
				w.t.Logf("the weather: %v", err)
			}
			return
		}
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// wait returns when nothing is held back in a direction.
func (w *weather) wait(direction int) {
	w.mu.Lock()
	held := w.held[direction]
	w.mu.Unlock()
	if held != nil {
		<-held
	}
}

// hold holds back what goes one way until the function that it returns is
// called.
func (w *weather) hold(direction int) (release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held[direction] != nil {
		return func() {}
	}
	held := make(chan struct{})
	w.held[direction] = held
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.held[direction] = nil
		close(held)
	}
}

// cut resets all connections: what is held back in them is lost.
func (w *weather) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
		delete(w.conns, c)
	}
}

func (w *weather) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	_ = w.ln.Close()
	w.cut()
	w.wg.Wait()
}

// storm makes bad weather until ctx ends, and leaves good weather behind.
func (w *weather) storm(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		if !wait(ctx, between(r, 20, 150)) {
			return
		}
		direction := r.IntN(2)
		switch r.IntN(12) {
		case 0, 1:
			w.cut()
		case 2: // for so long that the others hold the node for dead
			there, back := w.hold(upward), w.hold(downward)
			wait(ctx, soon+between(r, 500, 1500))
			if r.IntN(2) == 0 {
				w.cut()
			}
			there()
			back()
		case 3, 4, 5: // what was sent may have been done, and nobody hears of it
			release := w.hold(direction)
			wait(ctx, between(r, 5, 100))
			w.cut()
			release()
		default:
			release := w.hold(direction)
			wait(ctx, between(r, 5, 120))
			release()
		}
	}
}

// between is a random time between two numbers of milliseconds.
func between(r *rand.Rand, least, most int) time.Duration {
	return time.Duration(least+r.IntN(most-least)) * time.Millisecond
}

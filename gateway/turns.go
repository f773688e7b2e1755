package gateway

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
)

// turns bounds how many TLS handshakes compute at the same time: as many as
// there are processors. The runtime is fair between goroutines, so that
// thousands of handshakes that compute would leave a connected device one
// thousandth of a processor. A peer waits for his turn in the order of arrival
// of what he sent; a handshake that waits for the network has no turn.
type turns struct{ slots chan struct{} }

func newTurns() *turns { return &turns{slots: make(chan struct{}, runtime.GOMAXPROCS(0))} }

// turn is the turns of one handshake.
type turn struct {
	of     *turns
	ticket *ticket   // of the peer in the gate; set before the first turn
	clock  waitClock // with the peer
	held   atomic.Bool
	gone   chan struct{} // closed by abandon
	once   sync.Once
	over   atomic.Bool
}

func (t *turns) enter() *turn { return &turn{of: t, gone: make(chan struct{})} }

// take waits for a turn. It fails when the peer has lost his place meanwhile.
func (t *turn) take() error {
	if t.over.Load() || t.held.Load() {
		return nil
	}
	select {
	case <-t.gone:
		return net.ErrClosed
	default:
	}
	t.owing()
	select {
	case t.of.slots <- struct{}{}:
		t.held.Store(true)
		return nil
	case <-t.gone:
		return net.ErrClosed
	}
}

// give ends the turn, if there is one.
func (t *turn) give() {
	if t.held.CompareAndSwap(true, false) {
		<-t.of.slots
	}
}

// owing says that the peer waits for us from now on.
func (t *turn) owing() {
	t.clock.rest()
	if t.ticket != nil {
		t.ticket.owe(true)
	}
}

// waiting says that we wait for the peer from now on.
func (t *turn) waiting() {
	t.clock.resume()
	if t.ticket != nil {
		t.ticket.owe(false)
	}
}

// answering says that the peer gets something to compute with.
func (t *turn) answering() {
	t.clock.resume()
	if t.ticket != nil {
		t.ticket.answered()
	}
}

// end says that the handshake is over: no turn is needed any more.
func (t *turn) end() {
	t.over.Store(true)
	t.give()
}

// abandon is for a peer that has to go while he may be waiting.
func (t *turn) abandon() { t.once.Do(func() { close(t.gone) }) }

// entrant is a socket in the gate.
type entrant struct {
	net.Conn
	turn *turn
}

// Close implements io.Closer.
func (e entrant) Close() error {
	e.turn.abandon()
	return e.Conn.Close()
}

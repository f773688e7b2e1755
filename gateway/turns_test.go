package gateway

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// No more than there are slots compute at a time, all get their turn, and who
// loses his place does not wait.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &turns{slots: make(chan struct{}, 2)}
		var now, most, done atomic.Int64
		for range 20 {
			go func() {
				own := all.enter()
				if err := own.take(); err != nil {
					t.Error(err)
				}
				most.Store(max(most.Load(), now.Add(1)))
				<-time.After(time.Second)
				now.Add(-1)
				own.give()
				own.give() // once more is none
				done.Add(1)
			}()
		}
		synctest.Wait()
		late := all.enter()
		lost := make(chan error, 1)
		go func() { lost <- late.take() }()
		synctest.Wait()
		late.abandon()
		late.abandon()
		if err := <-lost; err == nil {
			t.Error("an abandoned peer got a turn")
		}
		<-time.After(11 * time.Second)
		if done.Load() != 20 || most.Load() != 2 || len(all.slots) != 0 {
			t.Errorf("%d are done, %d at a time, %d slots are held", done.Load(), most.Load(), len(all.slots))
		}
		over := all.enter()
		over.end()
		for range 10 {
			if err := over.take(); err != nil || len(all.slots) != 0 {
				t.Error("a peer whose handshake is over takes a turn")
			}
		}
	})
}

// The gate hears of a turn who waits for whom, and a turn ends with its handshake.
func TestTurnTellsTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var expired atomic.Bool
		g, all := gate{limit: 1}, newTurns()
		own := all.enter()
		own.ticket = g.enter(newCloser())
		own.clock.start(time.Minute, func() { expired.Store(true) })
		own.waiting()
		if g.silent.Len() != 1 || g.busy != 0 {
			t.Error("we do not wait for a peer who is to send something")
		}
		for range 2 {
			if err := own.take(); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Hour)
		if g.busy != 1 || expired.Load() || len(all.slots) != 1 {
			t.Errorf("%d wait for us, time ran out: %v, %d turns are held, while he waits for us", g.busy, expired.Load(), len(all.slots))
		}
		own.answering()
		own.waiting()
		if g.begun.Len() != 1 {
			t.Error("a peer with an answer has not begun")
		}
		own.end()
		if len(all.slots) != 0 {
			t.Error("the turn goes on after the handshake")
		}
		<-time.After(2 * time.Minute)
		if !expired.Load() {
			t.Error("the time in which we wait for a peer does not count")
		}
	})
}

// The time that a peer needs to compute with our answer is his own.
func TestTurnWhileAPeerComputes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var expired atomic.Bool
		own := newTurns().enter()
		own.clock.start(time.Minute, func() { expired.Store(true) })
		own.owing()
		own.answering()
		<-time.After(2 * time.Minute)
		if !expired.Load() {
			t.Error("it does not count")
		}
	})
}

// A socket that is closed takes nobody's turn any more.
func TestClosedEntrantTakesNoTurn(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	own := newTurns().enter()
	if err := (entrant{near, own}).Close(); err != nil {
		t.Fatal(err)
	}
	if err := own.take(); err == nil {
		t.Error("it has a turn")
	}
	if _, err := far.Write([]byte("x")); err == nil {
		t.Error("it is not closed")
	}
}

// Peers who stop in the midst of a handshake keep nobody from his turn, on
// either listener.
func TestStalledHandshakesHoldNoTurn(t *testing.T) {
	server, roots := selfSigned(t)
	w := newWorld(t, func(w *world) { w.TLS = server })
	addr := listenTLS(t, w)
	w.init()
	for range 10 * cap(w.turns.slots) {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		stalled := tls.Client(halfway{nc}, &tls.Config{InsecureSkipVerify: true})
		_ = stalled.SetDeadline(time.Now().Add(patience))
		if err := stalled.Handshake(); err == nil {
			t.Fatal("the handshake was to stop")
		}
	}
	for range 5 {
		nc, err := tls.Dial("tcp", addr, roots)
		if err != nil {
			t.Fatal(err)
		}
		newClient(t, nc).join("d", 60)
	}
	if n := len(w.turns.slots); n != 0 {
		t.Errorf("%d slots are held", n)
	}
}

// halfway sends a ClientHello and reads what comes back, and no more.
type halfway struct{ net.Conn }

func (h halfway) Read(p []byte) (int, error) {
	if _, err := h.Conn.Read(p[:1]); err != nil {
		return 0, err
	}
	return 0, net.ErrClosed
}

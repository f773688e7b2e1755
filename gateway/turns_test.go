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

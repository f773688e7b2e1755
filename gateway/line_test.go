package gateway

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestLineWaitsForNobody: however many connections take their time, others are done.
func TestLineWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkers()
		defer w.stop()
		const all = 100
		var done atomic.Int64
		release := make(chan struct{})
		l := newLine(w, func(*conn) {
			done.Add(1)
			<-release
		})
		for range all / 2 {
			l.add(new(conn))
		}
		l.add(make([]*conn, 0)...)
		l.add(crowd(all / 2)...)
		synctest.Wait()
		if n := done.Load(); n != all {
			t.Errorf("%d connections had their turn, want %d", n, all)
		}
		close(release)
		synctest.Wait()
		done.Store(0)
		l.add(crowd(all)...)
		synctest.Wait()
		if n := done.Load(); n != all {
			t.Errorf("after the rest, %d connections had their turn, want %d", n, all)
		}
	})
}

func crowd(n int) []*conn {
	conns := make([]*conn, n)
	for i := range conns {
		conns[i] = new(conn)
	}
	return conns
}

// TestLineIsInOrder: who comes again has to wait for the others.
func TestLineIsInOrder(t *testing.T) {
	l := newLine(newWorkers(), nil)
	l.called = true // nobody comes
	conns := crowd(3)
	l.add(conns...)
	for i := range 100 {
		c := l.next()
		if c != conns[i%len(conns)] {
			t.Fatalf("the connection that was next %d turns ago is not the next", len(conns))
		}
		l.add(c)
	}
	for range conns {
		l.next()
	}
	if l.next() != nil {
		t.Error("somebody is left in the line")
	}
}

// TestLineForgetsNobody: connections that are added while workers come and go all have
// their turn.
func TestLineForgetsNobody(t *testing.T) {
	w := newWorkers()
	defer w.stop()
	const adders, each = 8, 2000
	var done atomic.Int64
	l := newLine(w, func(*conn) { done.Add(1) })
	for range adders {
		go func() {
			for range each {
				l.add(new(conn))
			}
		}()
	}
	for deadline := time.Now().Add(patience); done.Load() < adders*each; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections had their turn, want %d", done.Load(), adders*each)
		}
	}
}

// TestLineKeepsItsSize: connections that come while others wait do not make the line
// longer than they are.
func TestLineKeepsItsSize(t *testing.T) {
	l := newLine(newWorkers(), nil)
	l.called = true // nobody comes
	c := new(conn)
	for range 10 {
		l.add(c)
	}
	for range 10_000 {
		l.add(c)
		if l.next() != c {
			t.Fatal("the line has lost a connection")
		}
	}
	if n := cap(l.conns); n > 64 {
		t.Errorf("the line has room for %d connections, and 10 are in it", n)
	}
}

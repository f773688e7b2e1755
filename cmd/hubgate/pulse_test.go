package main

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPulse: a probe that does not come back is stuck, as long as it does not,
// and is not joined by a second one.
func TestPulse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pulse
		lock := make(chan struct{}, 1)
		var probes atomic.Int32
		p.add("always", func() bool { return true })
		p.add("locked", func() bool {
			probes.Add(1)
			lock <- struct{}{}
			<-lock
			return true
		})
		if got := p.stuck(time.Second); got != "" {
			t.Errorf("%s is stuck", got)
		}
		lock <- struct{}{} // somebody takes it and does not give it back
		for range 3 {
			if got := p.stuck(time.Second); got != "locked" {
				t.Errorf("got %q, want locked", got)
			}
		}
		if probes.Load() != 2 {
			t.Errorf("%d probes wait or have been made, want 2", probes.Load())
		}
		<-lock
		synctest.Wait()
		if got := p.stuck(time.Second); got != "" {
			t.Errorf("%s is stuck, and nobody holds it", got)
		}
		stands := false
		p.add("stands still", func() bool { return !stands })
		if stands = true; p.stuck(time.Second) != "stands still" {
			t.Error("what says that it stands still counts as alive")
		}
	})
}

// TestAcceptLoop: a loop that waits for a connection is alive however long it
// waits, one that does not come back for the next is not, and one that has ended
// is nobody's business.
func TestAcceptLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := &scriptedListener{conns: make(chan net.Conn)}
		var p pulse
		ln := p.listen("accepting", inner, time.Minute)
		peer := make(chan struct{})
		go func() {
			for {
				if _, err := ln.Accept(); errors.Is(err, net.ErrClosed) {
					return
				}
				<-peer // the gate is full
			}
		}()
		expect := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if got := p.stuck(time.Second); got != want {
				t.Errorf("%s: got %q, want %q", what, got, want)
			}
		}
		<-time.After(time.Hour)
		expect("nobody connects for an hour", "")
		inner.conns <- nil
		<-time.After(59 * time.Second)
		expect("busy for a while", "")
		<-time.After(time.Second)
		expect("busy for good", "accepting")
		peer <- struct{}{}
		expect("it goes on", "")
		inner.conns <- nil
		peer <- struct{}{}
		close(inner.conns)
		<-time.After(time.Hour)
		expect("closed", "")
	})
}

// scriptedListener accepts what a test sends.
type scriptedListener struct {
	net.Listener
	conns chan net.Conn
}

func (l *scriptedListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

package main

import (
	"net"
	"sync/atomic"
	"time"
)

// pulse finds out whether a node is alive: whether what every device needs goes
// on in this process. NATS is not part of it. While that is away a node has
// work to do, which is to keep its devices, and to end it would mend nothing;
// but a lock that is never given back, or a loop that no longer turns, is mended
// by nothing else.
type pulse struct{ checks []*vitalSign }

// vitalSign is one thing that must be possible. Its probe returns at once, or after
// the lock that it takes is free; false: what it looks at stands still.
type vitalSign struct {
	name  string
	probe func() bool
	busy  atomic.Bool // a probe that never returned is not joined by others
}

func (p *pulse) add(name string, probe func() bool) {
	p.checks = append(p.checks, &vitalSign{name: name, probe: probe})
}

// stuck returns the name of a check that did not pass within a time, or
// nothing.
func (p *pulse) stuck(within time.Duration) string {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	passed := make(chan bool, len(p.checks))
	for _, c := range p.checks {
		if !c.busy.CompareAndSwap(false, true) {
			return c.name
		}
		go func() {
			ok := c.probe()
			c.busy.Store(false)
			passed <- ok
		}()
		select {
		case ok := <-passed:
			if !ok {
				return c.name
			}
		case <-timeout.C:
			return c.name
		}
	}
	return ""
}

// acceptLoop is a listener that knows whether somebody still accepts on it.
type acceptLoop struct {
	net.Listener
	since time.Time    // of the clock of left
	left  atomic.Int64 // when Accept returned last; 0: somebody is in it, or it is closed
}

// listen returns ln with a check that its accept loop turns: that it is waiting
// for a connection, or has taken one no longer ago than limit. A peer can't
// hold it up: whoever is in the gate leaves it, or has to, sooner than that.
func (p *pulse) listen(name string, ln net.Listener, limit time.Duration) net.Listener {
	l := &acceptLoop{Listener: ln, since: time.Now()}
	p.add(name, func() bool {
		left := l.left.Load()
		return left == 0 || time.Since(l.since)-time.Duration(left) < limit
	})
	return l
}

// Accept implements net.Listener.
func (l *acceptLoop) Accept() (net.Conn, error) {
	l.left.Store(0)
	nc, err := l.Listener.Accept()
	if err == nil { // else the loop ends, or waits and tries again
		l.left.Store(int64(max(time.Since(l.since), 1)))
	}
	return nc, err
}

package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

// closer notes that a peer had to go.
type closer struct{ closed chan struct{} }

func newCloser() closer { return closer{make(chan struct{})} }

func (c closer) Close() error {
	close(c.closed)
	return nil
}

func (c closer) gone() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// Who lets us wait longest goes; who waits for us stays, however long ago he
// came.
func TestGatePushesOutWhoLetsUsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{limit: 3}
		a, b, c, d, e := newCloser(), newCloser(), newCloser(), newCloser(), newCloser()
		first := g.enter(a)
		g.enter(b).owe(false)
		last := g.enter(c)
		last.owe(false)
		<-time.After(minSilentGrace)
		g.enter(d).owe(false)
		if a.gone() || !b.gone() || c.gone() {
			t.Errorf("gone: %v %v %v, want the second alone", a.gone(), b.gone(), c.gone())
		}
		first.owe(false) // from now on we wait for him, less long than for the others
		g.enter(e)
		if a.gone() || !c.gone() || d.gone() {
			t.Errorf("gone: %v %v %v, want the third", a.gone(), c.gone(), d.gone())
		}
		if err := last.explain(nil); err != errCrowded { //nolint:errorlint // exactly this one
			t.Errorf("the third hears %v", err)
		}
		last.owe(true) // too late
		last.leave()
		if g.waiting() != 3 || g.evicted() != 2 {
			t.Errorf("%d inside, %d evicted", g.waiting(), g.evicted())
		}
	})
}

// A peer has a moment before he has to go, and longer when he has begun; no
// file descriptor is a reason to go at once.
func TestGateGrace(t *testing.T) {
	for name, tc := range map[string]struct {
		begun bool
		want  time.Duration
	}{"silent": {false, minSilentGrace}, "begun": {true, begunGrace}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := gate{limit: 1}
				nc := newCloser()
				inside := g.enter(nc)
				inside.owe(true) // as it is
				if tc.begun {
					inside.answered()
				}
				inside.owe(false)
				came := time.Now()
				second := newCloser()
				g.enter(second).owe(false)
				if took := time.Since(came); !nc.gone() || took != tc.want {
					t.Errorf("the newcomer waited %v, want %v", took, tc.want)
				}
				if !g.relieve() || !second.gone() || g.relieve() {
					t.Error("there was one to relieve us, and no other")
				}
			})
		})
	}
}

// The fewer places there are, the less time has a peer who says nothing.
func TestGateGraceOfItsSize(t *testing.T) {
	for limit, want := range map[int]time.Duration{
		1: minSilentGrace, 1000: minSilentGrace, 2000: 500 * time.Millisecond, 4000: maxSilentGrace, 100_000: maxSilentGrace,
	} {
		if got := (&gate{limit: limit}).silentGrace(); got != want {
			t.Errorf("%d places: %v, want %v", limit, got, want)
		}
	}
}

// The newcomer waits for the first of those who may go, whether he has begun or not.
func TestGateWaitsForTheFirstToGo(t *testing.T) {
	const head = 100 * time.Millisecond // of who goes, before the other's time would be over
	for name, tc := range map[string]struct {
		apart     time.Duration // from begun to silent
		begunGoes bool
	}{
		"silent": {begunGrace - minSilentGrace - head, false},
		"begun":  {begunGrace - minSilentGrace + head, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := gate{limit: 2}
				begun, silent := newCloser(), newCloser()
				first := g.enter(begun)
				first.answered()
				first.owe(false)
				<-time.After(tc.apart)
				g.enter(silent).owe(false)
				came, want := time.Now(), minSilentGrace
				if tc.begunGoes {
					want -= head
				}
				g.enter(newCloser())
				if took := time.Since(came); took != want || begun.gone() != tc.begunGoes || silent.gone() == tc.begunGoes {
					t.Errorf("after %v, want %v, gone: who has begun %v, who is silent %v", took, want, begun.gone(), silent.gone())
				}
			})
		})
	}
}

// Without a file descriptor he goes who is silent, or else who has begun.
func TestGateRelievesOfBoth(t *testing.T) {
	g := gate{limit: 3}
	begun, silent, ours := newCloser(), newCloser(), newCloser()
	first := g.enter(begun)
	first.answered()
	first.owe(false)
	g.enter(silent).owe(false)
	g.enter(ours)
	if !g.relieve() || begun.gone() || !silent.gone() {
		t.Errorf("first, gone: who has begun %v, who is silent %v", begun.gone(), silent.gone())
	}
	if !g.relieve() || !begun.gone() || g.relieve() || ours.gone() || g.waiting() != 1 {
		t.Errorf("then, gone: who has begun %v, who waits for us %v", begun.gone(), ours.gone())
	}
}

// Who waits for us again has nothing to fear, and whatever is told in whatever order,
// everybody counts once.
func TestTicketCountsOnce(t *testing.T) {
	count := func(t *testing.T, g *gate, busy, silent, begun int) {
		t.Helper()
		if g.busy != busy || g.silent.Len() != silent || g.begun.Len() != begun || g.waiting() != busy+silent+begun {
			t.Errorf("%d wait for us, %d are silent, %d have begun, want %d, %d, %d", g.busy, g.silent.Len(), g.begun.Len(), busy, silent, begun)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		g := gate{limit: 2}
		nc := newCloser()
		a := g.enter(nc)
		for range 2 {
			a.owe(true)
			count(t, &g, 1, 0, 0)
		}
		for range 2 {
			a.owe(false)
			count(t, &g, 0, 1, 0)
			<-time.After(time.Minute)
		}
		if waited := time.Since(a.since); waited != 2*time.Minute {
			t.Errorf("we have waited %v, want two minutes", waited)
		}
		a.answered() // while we wait, which is nothing new
		for range 2 {
			a.owe(true)
			count(t, &g, 1, 0, 0)
		}
		if err := a.explain(errShutdown); err != errShutdown { //nolint:errorlint // exactly this one
			t.Errorf("who has his place hears %v", err)
		}
		a.answered()
		a.owe(false)
		count(t, &g, 0, 0, 1)
		a.owe(true)
		b := g.enter(newCloser())
		count(t, &g, 2, 0, 0)
		newcomer := make(chan *ticket, 1)
		go func() { newcomer <- g.enter(newCloser()) }()
		<-time.After(time.Hour)
		if nc.gone() || len(newcomer) != 0 {
			t.Error("who waits for us again had to go")
		}
		b.leave()
		c := <-newcomer
		for _, leaves := range []*ticket{a, c} {
			leaves.owe(false)
		}
		count(t, &g, 0, 1, 1)
		for range 2 {
			a.leave()
			count(t, &g, 0, 1, 0)
		}
		c.leave()
		count(t, &g, 0, 0, 0)
	})
}

// When all wait for us, the newcomer does too, until there is room or the
// gateway closes.
func TestGateWaitsForRoom(t *testing.T) {
	for name, free := range map[string]func(g *gate, inside *ticket){
		"one has left":          func(_ *gate, inside *ticket) { inside.leave() },
		"one lets us wait":      func(_ *gate, inside *ticket) { inside.owe(false) },
		"the listener is shut":  func(g *gate, _ *ticket) { g.close() },
		"one leaves, and again": func(_ *gate, inside *ticket) { inside.leave(); inside.leave() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := gate{limit: 2}
				inside := g.enter(newCloser())
				other := newCloser()
				g.enter(other)
				entered := make(chan *ticket, 1)
				go func() { entered <- g.enter(newCloser()) }()
				<-time.After(time.Hour)
				if len(entered) != 0 {
					t.Fatal("a newcomer went in although everybody inside waits for us")
				}
				free(&g, inside)
				newcomer := <-entered
				if other.gone() {
					t.Error("he who waits for us had to go")
				}
				newcomer.leave()
			})
		})
	}
}

// The time in which a peer waits for us does not count.
func TestWaitClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c waitClock
		c.rest()
		c.resume() // before it is started
		expired := make(chan time.Duration, 2)
		begun := time.Now()
		c.start(10*time.Second, func() { expired <- time.Since(begun) })
		<-time.After(4 * time.Second)
		c.rest()
		c.rest()
		<-time.After(time.Minute)
		c.resume()
		c.resume()
		<-time.After(time.Minute)
		if got := <-expired; got != 70*time.Second {
			t.Errorf("it ran out after %v, want 4 s, a minute of rest, and 6 s", got)
		}
		if c.stop() {
			t.Error("it ended in time")
		}
		var d waitClock
		d.start(time.Second, func() { expired <- 0 })
		d.rest()
		<-time.After(time.Hour)
		if !d.stop() {
			t.Error("time ran out while it rested")
		}
		d.resume()
		<-time.After(time.Hour)
		if len(expired) != 0 {
			t.Error("it ran out after its stop")
		}
	})
}

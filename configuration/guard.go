package configuration

import (
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// guard slows down what is done to the same identity again and again: a twin
// whose operator writes something else each time, or a condition that is true
// of a twin until it is applied. The first times are free, and then the pauses
// grow.
type guard struct {
	now  func() time.Time
	free int // times without a pause

	mu     sync.Mutex
	recent map[hub.Identity]strike
	before map[hub.Identity]strike // the generation before recent
	turned time.Time
}

type strike struct {
	count int
	until time.Time // when it may be done again
	vain  string    // what was done in vain, and waits so long; empty: nothing
}

const (
	freeWrites = 4
	freeShows  = 16 // a write changes what is shown twice
	firstPause = time.Second
	longest    = 5 * time.Minute // IoT Hub's own interval
	quiet      = time.Minute     // after which it begins anew, added to the pause
	generation = 2*longest + quiet
	// A generation has no more; of fights that are forgotten early the workers
	// are slow enough.
	maxStrikes = 1 << 16
)

func newGuard(now func() time.Time, free int) *guard {
	return &guard{now: now, free: free, recent: map[hub.Identity]strike{}, turned: now()}
}

// pause is the pause after so many strikes.
func (g *guard) pause(s strike) time.Duration {
	if s.count < g.free {
		return 0
	}
	return min(firstPause<<min(s.count-g.free, 16), longest)
}

// get returns the strikes that still count.
func (g *guard) get(id hub.Identity) strike {
	s, ok := g.recent[id]
	if !ok {
		s = g.before[id]
	}
	if g.now().Sub(s.until) > g.pause(s)+quiet {
		return strike{}
	}
	return s
}

// wait is how long to wait before what may be done. What was done in vain keeps
// nothing else waiting.
func (g *guard) wait(id hub.Identity, what string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.get(id)
	if s.vain != "" && s.vain != what {
		return 0
	}
	return max(0, s.until.Sub(g.now()))
}

// did says that it was done. It reports how many times it was in a row, and
// after which pause it may be done again.
func (g *guard) did(id hub.Identity) (times int, pause time.Duration) {
	return g.strike(id, 0, "")
}

// block says that something was done in vain, and has it wait for the longest
// pause.
func (g *guard) block(id hub.Identity, what string) { g.strike(id, longest, what) }

func (g *guard) strike(id hub.Identity, least time.Duration, vain string) (times int, pause time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, now := g.get(id), g.now()
	s.count++
	pause = max(g.pause(s), least)
	s.until, s.vain = now.Add(pause), vain
	if len(g.recent) >= maxStrikes || now.Sub(g.turned) > generation {
		g.before, g.recent, g.turned = g.recent, map[hub.Identity]strike{}, now
	}
	g.recent[id] = s
	return s.count, pause
}

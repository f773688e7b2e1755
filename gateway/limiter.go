package gateway

import (
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Limiter knows the limits of rates and how much of them is used. A nil one
// limits nothing. It is safe for concurrent use.
type Limiter struct {
	rates   atomic.Pointer[compiled]
	node    [kinds]bucket
	sharers atomic.Int64 // connections, between which the node's rates are shared out
	slowed  [kinds]atomic.Uint64
	refused [kinds]atomic.Uint64
	cut     atomic.Uint64
}

// NewLimiter returns a limiter with these rates.
func NewLimiter(r Rates) *Limiter {
	l := &Limiter{}
	l.Set(r)
	return l
}

// Set changes the rates, from now on and for everybody.
func (l *Limiter) Set(r Rates) { l.rates.Store(compile(r)) }

// join and leave count those between whom the node's rates are shared out.
func (l *Limiter) join() {
	if l != nil {
		l.sharers.Add(1)
	}
}

func (l *Limiter) leave() {
	if l != nil {
		l.sharers.Add(-1)
	}
}

func (l *Limiter) connections() int64 { return max(l.sharers.Load(), 1) }

// Throttling is what a limiter has done so far.
type Throttling struct {
	Slowed  map[string]uint64 // pauses, by kind
	Refused map[string]uint64 // by kind
	Cut     uint64            // connections
}

// Counts returns what was done so far, for every kind.
func (l *Limiter) Counts() Throttling {
	t := Throttling{Slowed: map[string]uint64{}, Refused: map[string]uint64{}}
	if l == nil {
		return t
	}
	t.Cut = l.cut.Load()
	for k := range kinds {
		t.Slowed[k.String()], t.Refused[k.String()] = l.slowed[k].Load(), l.refused[k].Load()
	}
	return t
}

// current returns the rates, if there is a limit of k.
func (l *Limiter) current(k Kind) *compiled {
	if l == nil {
		return nil
	}
	if r := l.rates.Load(); r.limits(k) {
		return r
	}
	return nil
}

// Connect counts a CONNECT, and refuses it if there are too many.
func (l *Limiter) Connect(now time.Time) error {
	r := l.current(Connects)
	if r == nil || r.node[Connects] == 0 {
		return nil
	}
	if ok, _ := l.node[Connects].allow(now.UnixNano(), int64(r.node[Connects]), r.burst); ok {
		return nil
	}
	l.refused[Connects].Add(1)
	return hub.Errorf(hub.Throttled, "more than %s; try again in a few seconds", bound{r, Connects, ofNode})
}

package gateway

import (
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Account is what one connection uses of the limits. The zero value is that of
// a connection without limits; it costs two words until there is one.
type Account struct {
	limiter *Limiter
	used    atomic.Pointer[usage]
}

// Open makes the account one of l, which may be nil. It is called once, before
// all else.
func (a *Account) Open(l *Limiter) { a.limiter = l }

// usage is the buckets of an account.
type usage struct {
	own   [kinds]bucket
	share [kinds]bucket // of the node's rates
	spell [kinds]spell
}

// spell is a time in which the account was ahead of a rate without a break.
type spell struct {
	begin   atomic.Int64
	offered atomic.Int64 // units, refused ones included
	verdict atomic.Int32 // of judge
	refused atomic.Int64 // when something was, last
	told    atomic.Int64 // when the timeline heard of it last
}

func (a *Account) usage() *usage {
	if u := a.used.Load(); u != nil {
		return u
	}
	a.used.CompareAndSwap(nil, &usage{})
	return a.used.Load()
}

// Excess says that a limit is exceeded.
type Excess struct {
	Err   error // of code Throttled; names the limit
	Wait  time.Duration
	First bool // nobody was told of it for a second
	Cut   bool // it is abuse: the connection has to go
}

// The verdicts on a spell.
const (
	unjudged int32 = iota
	harmless
	abusive
)

const (
	// mostAhead bounds what is remembered of a limit of the node.
	mostAhead = int64(time.Minute)
	// mostOwn bounds what a connection can owe: a single packet may be worth hours.
	mostOwn = int64(24 * time.Hour)
	// tellEvery is how often the timeline hears of a connection that is slowed.
	tellEvery = int64(time.Second)
)

// Allow uses n units, or says why they are refused.
func (a *Account) Allow(k Kind, n int, now time.Time) *Excess {
	r := a.limiter.current(k)
	if r == nil {
		return nil
	}
	at, u := now.UnixNano(), a.usage()
	own := int64(float64(n) * r.device[k])
	if r.device[k] > 0 {
		ok, fresh := u.own[k].allow(at, own, r.burst)
		u.spell[k].note(at, n, fresh && u.spell[k].isOver(at, r.burst+own))
		if !ok {
			return a.excess(r, k, false, at)
		}
	}
	if r.node[k] == 0 {
		return nil
	}
	cost := int64(float64(n) * r.node[k])
	ahead, fresh := u.share[k].charge(at, cost*a.limiter.connections(), r.burst+mostAhead)
	if r.device[k] == 0 {
		u.spell[k].note(at, n, fresh && u.spell[k].isOver(at, r.burst+cost))
	}
	if ok, _ := a.limiter.node[k].allow(at, cost, r.burst); ok {
		return nil
	}
	if ahead <= r.burst { // an equal part is everybody's
		a.limiter.node[k].charge(at, cost, r.burst+mostAhead)
		return nil
	}
	u.own[k].refund(own)
	return a.excess(r, k, true, at)
}

// note counts what is tried.
func (s *spell) note(at int64, n int, fresh bool) {
	if fresh {
		s.begin.Store(at)
		s.offered.Store(0)
		s.verdict.Store(unjudged)
	}
	s.offered.Add(int64(n))
}

// isOver reports whether nothing was refused for a while: where the rate is low,
// a bucket is full again each time it allows something.
func (s *spell) isOver(at, while int64) bool { return at-s.refused.Load() > while }

// excess makes the refusal of an operation.
func (a *Account) excess(r *compiled, k Kind, whole bool, at int64) *Excess {
	s := &a.usage().spell[k]
	a.limiter.refused[k].Add(1)
	s.refused.Store(at)
	cost := r.device[k]
	if whole {
		cost = r.node[k]
	}
	lasted := at - s.begin.Load()
	e := &Excess{
		Err:   hub.Errorf(hub.Throttled, "more than %s", r.of(k, whole)),
		First: s.tell(at),
		Cut:   r.AbuseAfter > 0 && lasted >= int64(r.AbuseAfter) && float64(s.offered.Load())*cost >= r.AbuseFactor*float64(lasted),
	}
	if e.Cut {
		e.Err = a.limiter.abused(r, k, whole)
	}
	return e
}

func (l *Limiter) abused(r *compiled, k Kind, whole bool) error {
	l.cut.Add(1)
	return hub.Errorf(hub.Throttled, "more than %g times %s for %v, whatever was answered", r.AbuseFactor, r.of(k, whole), r.AbuseAfter)
}

// tell reports whether the timeline is to be told now.
func (s *spell) tell(at int64) bool {
	last := s.told.Load()
	return at-last >= tellEvery && s.told.CompareAndSwap(last, at)
}

// Slow uses n units, and says how long to wait before the next ones. obeys says
// that the client waits for acknowledgements.
func (a *Account) Slow(k Kind, n int, now time.Time, obeys bool) *Excess {
	r := a.limiter.current(k)
	if r == nil || n == 0 {
		return nil
	}
	at, u := now.UnixNano(), a.usage()
	s := &u.spell[k]
	var wait int64
	var whole, fresh bool
	if r.device[k] > 0 {
		wait, fresh = u.own[k].charge(at, int64(float64(n)*r.device[k]), mostOwn)
		s.note(at, n, fresh)
	}
	if r.node[k] > 0 {
		cost := int64(float64(n) * r.node[k])
		ahead, _ := a.limiter.node[k].charge(at, cost, r.burst+mostAhead)
		share, fresh := u.share[k].charge(at, cost*a.limiter.connections(), r.burst+mostAhead)
		if r.device[k] == 0 {
			s.note(at, n, fresh)
		}
		if ahead = min(ahead, share); ahead > wait {
			wait, whole = ahead, true
		}
	}
	if wait -= r.burst; wait <= 0 {
		return nil
	}
	return a.slowed(r, k, whole, at, wait, obeys)
}

func (a *Account) slowed(r *compiled, k Kind, whole bool, at, wait int64, obeys bool) *Excess {
	s := &a.usage().spell[k]
	a.limiter.slowed[k].Add(1)
	e := &Excess{
		Err:  hub.Errorf(hub.Throttled, "more than %s; it is read more slowly", r.of(k, whole)),
		Wait: time.Duration(wait), First: s.tell(at),
	}
	lasted := at - s.begin.Load()
	if s.judge(float64(wait+r.burst+lasted) >= r.AbuseFactor*float64(lasted), obeys) && r.AbuseAfter > 0 && lasted >= int64(r.AbuseAfter) {
		e.Cut, e.Err = true, a.limiter.abused(r, k, whole)
	}
	return e
}

// judge decides, when a client is slowed for the first time in a spell, whether
// it abuses: then it has shown how fast it sends, and from then on TCP holds it
// back. It reports the judgement.
func (s *spell) judge(fast, obeys bool) bool {
	switch {
	case obeys:
		s.verdict.Store(harmless)
	case s.verdict.Load() == unjudged && fast:
		s.verdict.Store(abusive)
	case s.verdict.Load() == unjudged:
		s.verdict.Store(harmless)
	}
	return s.verdict.Load() == abusive
}

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
		if fresh {
			u.spell[k].renew(at, r.burst+own)
		}
		u.spell[k].offered.Add(int64(n))
		if !ok {
			return a.excess(bound{r, k, ofDevice}, at)
		}
	}
	if r.node[k] > 0 && !a.allowOfNode(r, k, n, at) {
		u.own[k].refund(own)
		return a.excess(bound{r, k, ofNode}, at)
	}
	return nil
}

// allowOfNode uses n units of the node's rate. An equal part is everybody's, even
// when others have left nothing; what is refused is not taken out of it.
func (a *Account) allowOfNode(r *compiled, k Kind, n int, at int64) (ok bool) {
	u, cost := a.usage(), int64(float64(n)*r.node[k])
	own, part := &u.share[k], cost*a.limiter.connections()
	if r.device[k] == 0 {
		if own.isFull(at) {
			u.spell[k].renew(at, r.burst+cost)
		}
		u.spell[k].offered.Add(int64(n))
	}
	if ok, _ = a.limiter.node[k].allow(at, cost, r.burst); ok {
		own.charge(at, part, r.burst+mostAhead)
		return true
	}
	if part <= r.burst {
		ok, _ = own.allow(at, part, r.burst)
	}
	if ok {
		a.limiter.node[k].charge(at, cost, r.burst+mostAhead)
	}
	return ok
}

// renew begins a new spell, if nothing was refused for a while: where the rate is
// low, a bucket is full again each time it allows something.
func (s *spell) renew(at, while int64) {
	if at-s.refused.Load() > while {
		s.restart(at)
	}
}

func (s *spell) restart(at int64) {
	s.begin.Store(at)
	s.offered.Store(0)
	s.verdict.Store(unjudged)
}

// excess makes the refusal of an operation.
func (a *Account) excess(b bound, at int64) *Excess {
	s := &a.usage().spell[b.kind]
	a.limiter.refused[b.kind].Add(1)
	s.refused.Store(at)
	lasted := at - s.begin.Load()
	e := &Excess{
		Err:   hub.Errorf(hub.Throttled, "more than %s", b),
		First: s.tell(at),
		Cut:   b.AbuseAfter > 0 && lasted >= int64(b.AbuseAfter) && float64(s.offered.Load())*b.cost() >= b.AbuseFactor*float64(lasted),
	}
	if e.Cut {
		e.Err = a.limiter.abused(b)
	}
	return e
}

func (l *Limiter) abused(b bound) error {
	l.cut.Add(1)
	return hub.Errorf(hub.Throttled, "more than %g times %s for %v, whatever was answered", b.AbuseFactor, b, b.AbuseAfter)
}

// tell reports whether the timeline is to be told now.
func (s *spell) tell(at int64) bool {
	last := s.told.Load()
	return at-last >= tellEvery && s.told.CompareAndSwap(last, at)
}

// Manner is how a client sends.
type Manner int

// The manners.
const (
	Presses Manner = iota // as fast as the network takes it
	Obeys                 // it waits for acknowledgements
)

// Slow uses n units, and says how long to wait before the next ones.
func (a *Account) Slow(k Kind, n int, now time.Time, m Manner) *Excess {
	r := a.limiter.current(k)
	if r == nil || n == 0 {
		return nil
	}
	at, u := now.UnixNano(), a.usage()
	s, b := &u.spell[k], bound{r, k, ofDevice}
	var wait int64
	var fresh bool
	if r.device[k] > 0 {
		wait, fresh = u.own[k].charge(at, int64(float64(n)*r.device[k]), mostOwn)
	}
	if r.node[k] > 0 {
		cost := int64(float64(n) * r.node[k])
		ahead, _ := a.limiter.node[k].charge(at, cost, r.burst+mostAhead)
		share, first := u.share[k].charge(at, cost*a.limiter.connections(), r.burst+mostAhead)
		fresh = fresh || r.device[k] == 0 && first
		if ahead = min(ahead, share); ahead > wait {
			wait, b = ahead, bound{r, k, ofNode}
		}
	}
	if fresh {
		s.restart(at)
	}
	if m == Obeys {
		s.verdict.Store(harmless)
	}
	if wait <= r.burst {
		return nil
	}
	return a.slowed(b, at, wait)
}

// slowed makes the pause of a client that is ahead of its rate.
func (a *Account) slowed(b bound, at, ahead int64) *Excess {
	s := &a.usage().spell[b.kind]
	a.limiter.slowed[b.kind].Add(1)
	e := &Excess{
		Err:  hub.Errorf(hub.Throttled, "more than %s; it is read more slowly", b),
		Wait: time.Duration(ahead - b.burst), First: s.tell(at),
	}
	lasted := at - s.begin.Load()
	if s.verdict.Load() == unjudged {
		s.judge(float64(ahead+lasted), b.AbuseFactor*float64(lasted))
	}
	if s.verdict.Load() == abusive && b.AbuseAfter > 0 && lasted >= int64(b.AbuseAfter) {
		e.Cut, e.Err = true, a.limiter.abused(b)
	}
	return e
}

// judge decides, when a client is slowed for the first time in a spell, whether
// it abuses: then it has shown how fast it sends, and from then on TCP holds it
// back.
func (s *spell) judge(had, abuse float64) {
	if had >= abuse {
		s.verdict.Store(abusive)
	} else {
		s.verdict.Store(harmless)
	}
}

package gateway

import (
	"container/list"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Penalty says how peers with bad credentials are kept from costing more than a
// glance. The zero value of a field means its default.
type Penalty struct {
	// Longest is how long a peer is refused at most before he may try again; the
	// first time it is a second, then twice as long each time. Default 30 s;
	// below 0: nobody is refused for what he did before.
	Longest time.Duration
	// Exempt are addresses that are never refused as a whole, for example those
	// of load balancers: all devices come from them.
	Exempt []netip.Prefix
}

// What an offender may do before he is refused. A device that has the wrong key
// tries again and again, and behind one address there may be many of them: they
// are refused one by one, for an address only as far as it takes what a flood
// would.
const (
	clientBurst  = 5 // refusals of one client at one address
	clientRefill = 10 * time.Second
	addrBurst    = 100 // refusals at one address
	addrRefill   = 200 * time.Millisecond
	repeatShare  = 4  // so many refusals of a client who is refused anyway count as one
	forgiven     = 10 // refusals that a good connection makes up for
	goodRate     = 20 // offenders let through, each second, where there were good devices
	maxOffenders = 8 << 10
	goodPlaces   = 64 << 10
)

const firstPenalty = time.Second

// penalties is the peers with bad credentials. Its memory is bounded: who has
// not been seen for longest is forgotten first.
type penalties struct {
	rules atomic.Pointer[Penalty]

	mu     sync.Mutex
	known  map[offender]*list.Element // of *record
	order  list.List                  // the last one seen first
	count  atomic.Int64               // of known; 0 is what good times look like
	good   [goodPlaces]atomic.Uint32  // fingerprints of who came with good credentials
	seed   maphash.Seed
	turned atomic.Uint64 // peers turned away unheard
}

// offender is an address, or a client that came from there: nobody can have a
// device refused at another address than his own.
type offender struct {
	addr   netip.Addr
	client string // empty: the address as a whole
}

// record is what is known of an offender.
type record struct {
	who     offender
	used    bucket
	until   int64 // refused until then
	level   int   // of the next penalty
	trickle bucket
	told    int64
}

// addressOf is the address that stands for the peer: its own, or the /64
// network of an IPv6 address. It is invalid for what is no IP address.
func addressOf(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return network(ap.Addr())
}

func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64) // cannot fail
		return p.Addr()
	}
	return a
}

// set changes the rules. Without any, all is forgotten.
func (p *penalties) set(rules Penalty) {
	setDefault(&rules.Longest, 30*time.Second)
	p.rules.Store(&rules)
	if rules.Longest > 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = nil
	p.order.Init()
	p.count.Store(0)
}

// exempt reports whether a peer is, of whom no more than his network is known.
func (p *penalties) exempt(a netip.Addr) bool {
	return slices.ContainsFunc(p.rules.Load().Exempt, func(x netip.Prefix) bool { return x.Contains(a) || network(x.Addr()) == a })
}

// refuses reports whether a peer is refused now. first says that this is worth
// telling: nobody has been told for a second.
func (p *penalties) refuses(who offender, now time.Time) (refused, first bool) {
	if p.count.Load() == 0 {
		return false, false
	}
	at := now.UnixNano()
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.known[who]
	if e == nil {
		return false, false
	}
	r := e.Value.(*record) //nolint:forcetypeassert // nothing else is in it
	if at >= r.until {
		return false, false
	}
	if p.isGood(who) {
		if ok, _ := r.trickle.allow(at, int64(time.Second/goodRate), int64(time.Second)); ok {
			return false, false
		}
	}
	if first = at-r.told >= tellEvery; first {
		r.told = at
	}
	return true, first
}

// failed notes a client with bad credentials.
func (p *penalties) failed(addr netip.Addr, client string, now time.Time) {
	if p.rules.Load().Longest < 0 || !addr.IsValid() {
		return
	}
	at := now.UnixNano()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(offender{addr, client}, at, clientRefill, clientBurst)
	if !p.exempt(addr) {
		p.add(offender{addr: addr}, at, addrRefill, addrBurst)
	}
}

// repeated notes a client that was refused for what he did before.
func (p *penalties) repeated(addr netip.Addr, now time.Time) {
	if p.rules.Load().Longest < 0 || p.exempt(addr) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(offender{addr: addr}, now.UnixNano(), addrRefill/repeatShare, addrBurst*repeatShare)
}

// add counts one refusal, which is made up for after refill, and begins a
// penalty if it is number burst. p.mu is held.
func (p *penalties) add(who offender, at int64, refill time.Duration, burst int64) {
	r := p.find(who)
	longest := int64(p.rules.Load().Longest)
	if at-r.until > 10*longest {
		r.level = 0
	}
	ahead, _ := r.used.charge(at, int64(refill), int64(refill)*burst)
	if ahead <= int64(refill)*(burst-1) || at < r.until {
		return
	}
	r.until = at + min(int64(firstPenalty)<<r.level, longest)
	if int64(firstPenalty)<<r.level < longest {
		r.level++
	}
}

// find returns the record of who, which it makes if need be. p.mu is held.
func (p *penalties) find(who offender) *record {
	if e := p.known[who]; e != nil {
		p.order.MoveToFront(e)
		return e.Value.(*record) //nolint:forcetypeassert // nothing else is in it
	}
	if p.known == nil {
		p.known = map[offender]*list.Element{}
	}
	if p.order.Len() >= maxOffenders {
		p.forget(p.order.Back())
	}
	r := &record{who: who}
	p.known[who] = p.order.PushFront(r)
	p.count.Store(int64(len(p.known)))
	return r
}

// forget removes a record. p.mu is held.
func (p *penalties) forget(e *list.Element) {
	if e == nil {
		return
	}
	r := p.order.Remove(e).(*record) //nolint:forcetypeassert // nothing else is in it
	delete(p.known, r.who)
	p.count.Store(int64(len(p.known)))
}

// welcome notes a client with good credentials: he is forgiven, and so is part
// of what others did at his address.
func (p *penalties) welcome(addr netip.Addr, client string, now time.Time) {
	if p.rules.Load().Longest < 0 || !addr.IsValid() {
		return
	}
	p.markGood(offender{addr: addr})
	p.markGood(offender{addr, client})
	if p.count.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(p.known[offender{addr, client}])
	if e := p.known[offender{addr: addr}]; e != nil {
		r := e.Value.(*record) //nolint:forcetypeassert // nothing else is in it
		r.used.refund(int64(forgiven * addrRefill))
		r.level, r.until = 0, min(r.until, now.UnixNano())
	}
}

// markGood remembers that somebody has come with good credentials. A place holds
// the last of all who share it: some are forgotten.
func (p *penalties) markGood(who offender) {
	place, mark := p.place(who)
	if place.Load() != mark {
		place.Store(mark)
	}
}

func (p *penalties) isGood(who offender) bool {
	place, mark := p.place(who)
	return place.Load() == mark
}

func (p *penalties) place(who offender) (place *atomic.Uint32, mark uint32) {
	h := maphash.Comparable(p.seed, who)
	return &p.good[h%goodPlaces], uint32(h>>32) | 1 //nolint:gosec // the upper half
}

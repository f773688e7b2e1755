package gateway

import (
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

func newPenalties(rules Penalty) *penalties {
	p := &penalties{seed: maphash.MakeSeed()}
	p.set(rules)
	return p
}

func at(ms int) time.Time { return time.Unix(1_000_000, 0).Add(time.Duration(ms) * time.Millisecond) }

func (p *penalties) isRefused(addr netip.Addr, client string, now time.Time) bool {
	refused, _ := p.refuses(offender{addr, client}, now)
	return refused
}

var (
	evil = netip.MustParseAddr("192.0.2.1")
	kind = netip.MustParseAddr("192.0.2.2")
)

// A client is refused after a few tries, for longer each time, at its address
// only.
func TestClientPenalty(t *testing.T) {
	p := newPenalties(Penalty{Longest: 4 * time.Second})
	now := at(0)
	for range clientBurst {
		if p.isRefused(evil, "d", now) {
			t.Fatal("refused too early")
		}
		p.failed(evil, "d", now)
	}
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
		if !p.isRefused(evil, "d", now) || !p.isRefused(evil, "d", now.Add(want-1)) {
			t.Errorf("not refused for %v", want)
		}
		if p.isRefused(evil, "d", now.Add(want)) {
			t.Errorf("refused for more than %v", want)
		}
		if p.isRefused(kind, "d", now) || p.isRefused(evil, "other", now) || p.isRefused(evil, "", now) {
			t.Error("somebody else is refused")
		}
		now = now.Add(want)
		p.failed(evil, "d", now)
	}
}

// lock has a client fail until he is refused, and returns for how long he is.
func (p *penalties) lock(t *testing.T, addr netip.Addr, client string, now time.Time) time.Duration {
	t.Helper()
	for range 2 * clientBurst {
		p.failed(addr, client, now)
		if p.isRefused(addr, client, now) {
			return time.Duration(p.known[offender{addr, client}].Value.(*record).until - now.UnixNano())
		}
	}
	t.Fatal("nobody is refused")
	return 0
}

// The penalty stays at its longest, however often it was given, and it begins anew
// after ten times as long without a failure.
func TestPenaltyStaysAndEnds(t *testing.T) {
	p := newPenalties(Penalty{Longest: 4 * time.Second})
	now, until := at(0), time.Duration(0)
	for i := range 200 {
		until = p.lock(t, evil, "d", now)
		if want := min(time.Second<<min(i, 2), 4*time.Second); until != want {
			t.Fatalf("penalty %d is %v, want %v", i+1, until, want)
		}
		now = now.Add(until)
	}
	now = now.Add(40 * time.Second)
	if got := p.lock(t, evil, "d", now); got != 4*time.Second {
		t.Errorf("after 40 s it is %v, want 4 s", got)
	}
	now = now.Add(4*time.Second + 40*time.Second + 1)
	if got := p.lock(t, evil, "d", now); got != time.Second {
		t.Errorf("after more than that it is %v, want a second", got)
	}
}

// What fails while a penalty lasts, on connections that were let in before, does not
// make it longer.
func TestPenaltyIsNotMadeLonger(t *testing.T) {
	p := newPenalties(Penalty{})
	p.lock(t, evil, "d", at(0))
	for ms := range 999 {
		p.failed(evil, "d", at(ms))
	}
	if !p.isRefused(evil, "d", at(999)) || p.isRefused(evil, "d", at(1000)) {
		t.Error("the first penalty is not a second long")
	}
}

// A log hears of an offender once a second.
func TestPenaltyIsToldOnceASecond(t *testing.T) {
	p := newPenalties(Penalty{Longest: time.Hour})
	p.lock(t, evil, "d", at(-1000))
	who := offender{evil, "d"}
	p.known[who].Value.(*record).told, p.known[who].Value.(*record).until = 0, at(10_000).UnixNano()
	for _, tc := range []struct {
		ms    int
		first bool
	}{{0, true}, {0, false}, {999, false}, {1000, true}, {1001, false}, {1999, false}, {2000, true}} {
		refused, first := p.refuses(who, at(tc.ms))
		if !refused || first != tc.first {
			t.Errorf("after %d ms: refused %v, told %v, want %v", tc.ms, refused, first, tc.first)
		}
	}
}

// Who comes again and again while he is refused has his address refused too, after four
// times as many tries.
func TestRepeatedRefusals(t *testing.T) {
	p := newPenalties(Penalty{Exempt: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
	balancer := netip.MustParseAddr("198.51.100.77")
	for i := range addrBurst * repeatShare {
		if p.isRefused(evil, "", at(0)) {
			t.Fatalf("the address is refused after %d", i)
		}
		p.repeated(evil, at(0))
		p.repeated(balancer, at(0))
		p.failed(balancer, fmt.Sprint(i), at(0))
	}
	if !p.isRefused(evil, "", at(0)) {
		t.Error("the address is not refused")
	}
	if p.isRefused(balancer, "", at(0)) {
		t.Error("an exempt one is")
	}
}

// A good client has what he failed at before forgiven, and his address ten failures.
func TestWelcomeForgives(t *testing.T) {
	p := newPenalties(Penalty{})
	fail := func(n int, client string) {
		for range n {
			p.failed(evil, client, at(0))
		}
	}
	fail(clientBurst-1, "d")
	p.welcome(evil, "d", at(0))
	if p.count.Load() != 1 || len(p.known) != 1 {
		t.Errorf("%d offenders are counted, %d are known, want the address", p.count.Load(), len(p.known))
	}
	fail(clientBurst-1, "d")
	if p.isRefused(evil, "d", at(0)) {
		t.Error("what was forgiven counts")
	}
	p = newPenalties(Penalty{})
	for i := range addrBurst - 1 {
		fail(1, fmt.Sprint(i))
	}
	p.welcome(evil, "good", at(0))
	for i := range forgiven {
		if e := p.known[offender{addr: evil}].Value.(*record); e.until > at(0).UnixNano() {
			t.Errorf("the address is refused after %d more", i)
		}
		fail(1, fmt.Sprint("more", i))
	}
	fail(1, "last")
	if e := p.known[offender{addr: evil}].Value.(*record); e.until <= at(0).UnixNano() {
		t.Error("more than ten are forgiven")
	}
}

// Of what has no address nothing is remembered.
func TestNoAddressIsNoOffender(t *testing.T) {
	p := newPenalties(Penalty{})
	for range 2 * addrBurst {
		p.failed(addressOf("pipe"), "d", at(0))
	}
	p.welcome(addressOf("pipe"), "d", at(0))
	if p.count.Load() != 0 || p.isRefused(addressOf("pipe"), "d", at(0)) {
		t.Errorf("%d are remembered", p.count.Load())
	}
}

// An address is refused when many clients come from it with bad credentials,
// IPv6 by its network; an exempt one never.
func TestAddressPenalty(t *testing.T) {
	p := newPenalties(Penalty{Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}})
	six := addressOf("[2001:db8::1]:5")
	if six != addressOf("[2001:db8::8000:0:0:1]:5") || six != addressOf("[2001:db8::ffff:2]:9") || six == addressOf("[2001:db8:0:1::1]:5") || addressOf("[::ffff:192.0.2.1]:5") != evil {
		t.Error("addresses are not taken by network")
	}
	for _, addr := range []netip.Addr{evil, six, kind} {
		for i := range addrBurst - 1 {
			p.failed(addr, fmt.Sprint(i), at(0))
		}
		if p.isRefused(addr, "", at(0)) {
			t.Errorf("%v is refused too early", addr)
		}
		p.failed(addr, "last", at(0))
		if got := p.isRefused(addr, "", at(0)); got != (addr != kind) {
			t.Errorf("%v is refused: %v", addr, got)
		}
	}
	if p.isRefused(netip.MustParseAddr("192.0.2.9"), "", at(0)) {
		t.Error("another address is refused")
	}
}

// A device with a wrong key that tries once a second, in the worst case many of
// them, is refused itself and does not have its address refused.
func TestBrokenDevicesDoNotLockTheirAddressOut(t *testing.T) {
	p := newPenalties(Penalty{})
	for s := range 600 {
		for d := range 10 {
			client := fmt.Sprint(d)
			if p.isRefused(evil, client, at(1000*s)) {
				p.repeated(evil, at(1000*s))
			} else {
				p.failed(evil, client, at(1000*s))
			}
		}
		if p.isRefused(evil, "", at(1000*s)) {
			t.Fatalf("the address is refused after %d s", s)
		}
	}
}

// Good devices at an address from which somebody else floods get in.
func TestGoodDevicesAtABadAddress(t *testing.T) {
	p := newPenalties(Penalty{})
	p.welcome(evil, "good", at(0))
	for i := range 2 * addrBurst {
		p.failed(evil, fmt.Sprint(i), at(1))
	}
	through := 0
	for range 1000 {
		if !p.isRefused(evil, "", at(2)) {
			through++
		}
	}
	if through != goodRate {
		t.Errorf("%d peers of 1000 got through to the handshake, want %d", through, goodRate)
	}
	p.welcome(evil, "good", at(3))
	if p.isRefused(evil, "", at(3)) {
		t.Error("a good device has not redeemed its address")
	}
	for range 10 * clientBurst { // somebody tries to lock the good one out
		p.failed(evil, "good", at(4))
	}
	if p.isRefused(evil, "good", at(5)) {
		t.Error("a device that was here with good credentials is not heard any more")
	}
	if p.isRefused(kind, "good", at(5)) {
		t.Error("the device is refused at another address")
	}
}

func TestPenaltyCanBeOff(t *testing.T) {
	p := newPenalties(Penalty{Longest: -1})
	for range 10 * addrBurst {
		p.failed(evil, "d", at(0))
		p.welcome(evil, "d", at(0))
	}
	if p.isRefused(evil, "d", at(0)) || p.isRefused(evil, "", at(0)) || len(p.known) != 0 {
		t.Error("somebody is refused")
	}
}

// A change of the rules counts at once, and none forgives everybody.
func TestPenaltyCanBeChanged(t *testing.T) {
	p := newPenalties(Penalty{Longest: time.Hour})
	for range clientBurst {
		p.failed(evil, "d", at(0))
	}
	if !p.isRefused(evil, "d", at(0)) {
		t.Error("nobody is refused")
	}
	p.set(Penalty{Longest: -1})
	if p.isRefused(evil, "d", at(0)) || p.count.Load() != 0 {
		t.Error("somebody is still refused")
	}
	p.failed(evil, "d", at(0))
	p.repeated(evil, at(0))
	if p.count.Load() != 0 {
		t.Error("offenders are remembered")
	}
	p.set(Penalty{Longest: time.Hour})
	if p.isRefused(evil, "d", at(0)) {
		t.Error("what was forgiven counts again")
	}
	for range clientBurst {
		p.failed(evil, "d", at(0))
	}
	p.set(Penalty{Longest: 2 * time.Hour})
	if !p.isRefused(evil, "d", at(0)) || p.count.Load() != 2 || p.order.Len() != 2 {
		t.Errorf("a change that changes little has forgiven him: %d are remembered, %d in order", p.count.Load(), p.order.Len())
	}
}

// Memory is bounded, and the newest offenders are those who are remembered.
func TestOffendersAreBounded(t *testing.T) {
	p := newPenalties(Penalty{})
	for i := range 2 * maxOffenders {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		for range clientBurst {
			p.failed(addr, "d", at(0))
		}
	}
	if len(p.known) != maxOffenders || p.order.Len() != maxOffenders || p.count.Load() != maxOffenders {
		t.Errorf("%d offenders are remembered, want %d", len(p.known), maxOffenders)
	}
	n := 2*maxOffenders - 1
	if !p.isRefused(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), "d", at(0)) {
		t.Error("the newest was forgotten")
	}
	if p.isRefused(netip.AddrFrom4([4]byte{10, 0, 0, 0}), "d", at(0)) {
		t.Error("the oldest was not")
	}
}

// Who was seen last is forgotten last.
func TestOffendersWhoComeAgainAreRemembered(t *testing.T) {
	p := newPenalties(Penalty{Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	p.failed(evil, "first", at(0))
	p.failed(evil, "second", at(0))
	p.failed(evil, "first", at(0))
	for i := range maxOffenders - 1 {
		p.failed(evil, fmt.Sprint(i), at(0))
	}
	if p.known[offender{evil, "first"}] == nil || p.known[offender{evil, "second"}] != nil {
		t.Error("the one who came again was forgotten before the other")
	}
}

// A client with bad credentials is told to come later, without anybody looking
// at what it says, and its address loses its connections before CONNECT.
func TestPenaltyOnTheWire(t *testing.T) {
	asked := 0
	w := newWorld(t, func(w *world) {
		w.Penalty = Penalty{Longest: time.Hour}
		w.face.refuse = func(id string) error {
			if id == "good" {
				return nil
			}
			asked++
			return hub.Errorf(hub.Unauthorized, "no")
		}
	})
	try := func(id string) (byte, error) {
		nc, err := net.Dial("tcp", w.addr)
		if err != nil { // the server may reset before the connect is seen here
			return 0, err
		}
		c := newClient(t, nc)
		b, err := (&mqtt.Connect{ClientID: []byte(id)}).Append(nil, mqtt.V311)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.nc.Write(b)
		p, err := c.read()
		if err != nil {
			return 0, err
		}
		return p.(*mqtt.Connack).Code, nil
	}
	for i := range clientBurst + 1 {
		code, err := try("bad")
		if want := byte(5); err != nil || i < clientBurst && code != want {
			t.Fatalf("try %d: CONNACK %d, %v", i, code, err)
		} else if i == clientBurst && code != 3 {
			t.Errorf("after %d tries: CONNACK %d, want 3", i, code)
		}
	}
	if asked != clientBurst {
		t.Errorf("the credentials were looked at %d times", asked)
	}
	for i := 0; ; i++ {
		if _, err := try(fmt.Sprint(i)); err != nil {
			break
		}
		if i > 2*addrBurst {
			t.Fatal("the address is not refused")
		}
	}
	before := w.Refused()
	if _, err := try("good"); err == nil {
		t.Error("an address with a penalty, and without good devices, got an answer")
	}
	if w.Refused() != before+1 {
		t.Errorf("%d refusals are counted, want one more than %d", w.Refused(), before)
	}
}

// TestExemptIPv6Address: an address of IPv6 is known by its network, an exempt one too.
func TestExemptIPv6Address(t *testing.T) {
	p := newPenalties(Penalty{Exempt: []netip.Prefix{netip.MustParsePrefix("2001:db8::5/128")}})
	now := time.Now()
	a := addressOf("[2001:db8::5]:4000")
	for i := range 300 {
		p.failed(a, string(rune('a'+i)), now)
	}
	if refused, _ := p.refuses(offender{addr: a}, now); refused {
		t.Error("an exempt load balancer is refused as a whole")
	}
}

// TestClientsWithoutANameAreNotTheirAddress: they are refused like one client, and
// nobody else at their address is, which may be that of a load balancer.
func TestClientsWithoutANameAreNotTheirAddress(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.Penalty = Penalty{Longest: time.Hour, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
		w.face.refuse = func(id string) error {
			if id == "good" {
				return nil
			}
			return hub.Errorf(hub.Unauthorized, "no")
		}
	})
	for i := range clientBurst + 2 {
		c := dial(t, w.addr)
		c.write(&mqtt.Connect{CleanStart: true})
		want := byte(5)
		if i >= clientBurst {
			want = 3
		}
		if k := c.connack(); k.Code != want {
			t.Errorf("try %d: CONNACK %d, want %d", i, k.Code, want)
		}
	}
	w.connect(t, "good")
}

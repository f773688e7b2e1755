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

// An address is refused when many clients come from it with bad credentials,
// IPv6 by its network; an exempt one never.
func TestAddressPenalty(t *testing.T) {
	p := newPenalties(Penalty{Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}})
	six := addressOf("[2001:db8::1]:5")
	if six != addressOf("[2001:db8::ffff:2]:9") || six == addressOf("[2001:db8:0:1::1]:5") || addressOf("[::ffff:192.0.2.1]:5") != evil {
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

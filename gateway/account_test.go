package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// limited returns a limiter and n accounts of connections that it knows.
func limited(r Rates, n int) (*Limiter, []*Account) {
	l := NewLimiter(r)
	accounts := make([]*Account, n)
	for i := range accounts {
		accounts[i] = &Account{}
		accounts[i].Open(l)
		l.join()
	}
	return l, accounts
}

func deviceRate(k Kind, perSecond float64) (r Rates) {
	r.Device[k] = perSecond
	return r
}

func nodeRate(k Kind, perSecond float64) (r Rates) {
	r.Node[k] = perSecond
	return r
}

func TestAllow(t *testing.T) {
	l, a := limited(deviceRate(TwinReads, 5), 2)
	now := time.Unix(1000, 0)
	refused := 0
	for range 20 {
		e := a[0].Allow(TwinReads, 1, now)
		if e == nil {
			continue
		}
		if refused++; e.First != (refused == 1) || e.Cut || hub.CodeOf(e.Err) != hub.Throttled {
			t.Errorf("refusal %d: %+v", refused, e)
		}
		if want := "5 twin reads a second of one device (rates.device_twin_reads)"; !strings.Contains(e.Err.Error(), want) {
			t.Errorf("%q does not name the limit: %s", e.Err, want)
		}
	}
	if refused != 15 {
		t.Errorf("%d of 20 were refused, want all but the 5 of a second", refused)
	}
	if e := a[1].Allow(TwinReads, 1, now); e != nil {
		t.Errorf("another device was refused: %v", e.Err)
	}
	if e := a[0].Allow(TwinWrites, 1, now); e != nil {
		t.Errorf("another kind was refused: %v", e.Err)
	}
	if e := a[0].Allow(TwinReads, 1, now.Add(200*time.Millisecond)); e != nil {
		t.Errorf("after a fifth of a second: %v", e.Err)
	}
	if got := l.Counts().Refused["twin_reads"]; got != 15 {
		t.Errorf("%d refusals are counted, want 15", got)
	}
	l.Set(Rates{})
	if e := a[0].Allow(TwinReads, 1000, now); e != nil {
		t.Errorf("without a limit: %v", e.Err)
	}
}

// The node's limit is shared out: who takes little is not refused because of
// somebody who takes everything, and who is alone may have it all.
func TestTheNodesRateIsShared(t *testing.T) {
	const devices, rate = 10, 100
	_, a := limited(nodeRate(TwinReads, rate), devices)
	greedy, passed, refused := a[0], 0, 0
	now := time.Unix(1000, 0)
	for range 1000 * 10 { // 1000 a second for ten seconds
		now = now.Add(time.Millisecond)
		if greedy.Allow(TwinReads, 1, now) == nil {
			passed++
		}
		if now.UnixMilli()%200 != 0 {
			continue
		}
		for _, modest := range a[1:] { // 5 a second each
			if modest.Allow(TwinReads, 1, now) != nil {
				refused++
			}
		}
	}
	if refused != 0 {
		t.Errorf("modest devices were refused %d times", refused)
	}
	if spare := (rate - 9*5) * 10; passed < spare-10 || passed > spare+rate+10 {
		t.Errorf("the greedy device had %d, want what the others leave, about %d, and a burst", passed, spare)
	}
}

// A part of the node's rate is what somebody has had, not what he was refused: who
// tries for more than his part gets it still, while somebody else takes the rest.
func TestRefusalsAreNoPartOfAShare(t *testing.T) {
	const devices, rate = 10, 100
	_, a := limited(nodeRate(TwinReads, rate), devices)
	greedy, eager, passed := a[0], a[1], 0
	now := time.Unix(1000, 0)
	for range 1000 * 30 { // half a minute
		now = now.Add(time.Millisecond)
		greedy.Allow(TwinReads, 1, now)
		if now.UnixMilli()%50 == 0 && eager.Allow(TwinReads, 1, now) == nil { // 20 a second
			passed++
		}
	}
	if want := rate / devices * 30; passed < want {
		t.Errorf("the eager device had %d, want its part, %d", passed, want)
	}
}

// Who is gone leaves his part of the node's rate to the others.
func TestWhoIsGoneHasNoShare(t *testing.T) {
	l, a := limited(nodeRate(TwinReads, 10), 10)
	now := time.Unix(1000, 0)
	for range 10 {
		if e := a[0].Allow(TwinReads, 1, now); e != nil {
			t.Fatal(e.Err)
		}
	}
	for range 8 {
		l.leave()
	}
	passed := 0
	for range 20 {
		if a[1].Allow(TwinReads, 1, now) == nil {
			passed++
		}
	}
	if passed != 5 {
		t.Errorf("one of two devices had %d, want its half, 5", passed)
	}
}

// What the node's rate has refused is no part of what a device may have: when there is
// room again, it gets what it would have got.
func TestWhatTheNodeRefusesIsNotTheDevices(t *testing.T) {
	r := deviceRate(TwinReads, 10)
	r.Node[TwinReads] = 10
	_, a := limited(r, 2)
	greedy, late := a[0], a[1]
	now := time.Unix(1000, 0)
	allow := func(a *Account, n int) (passed int, last *Excess) {
		for range n {
			if e := a.Allow(TwinReads, 1, now); e == nil {
				passed++
			} else {
				last = e
			}
		}
		return passed, last
	}
	if passed, _ := allow(greedy, 10); passed != 10 {
		t.Fatalf("who is alone has had %d of 10", passed)
	}
	passed, last := allow(late, 100)
	if passed != 5 {
		t.Errorf("the late device had %d, want its half, 5", passed)
	}
	if want := "rates.node_twin_reads"; !strings.Contains(last.Err.Error(), want) {
		t.Errorf("the last refusal is by %v, want the rate %s", last.Err, want)
	}
}

func TestSlow(t *testing.T) {
	l, a := limited(deviceRate(Messages, 10), 1)
	now := time.Unix(1000, 0)
	if e := a[0].Slow(Messages, 10, now, Obeys); e != nil {
		t.Errorf("a second's worth had to wait %v", e.Wait)
	}
	e := a[0].Slow(Messages, 30, now, Obeys)
	if e == nil || e.Wait != 3*time.Second || !e.First || e.Cut {
		t.Fatalf("got %+v, want a pause of 3 s", e)
	}
	e = a[0].Slow(Messages, 1, now.Add(e.Wait), Obeys)
	if e == nil || e.Wait != 100*time.Millisecond {
		t.Errorf("after the pause: %+v, want 100 ms", e)
	}
	if got := l.Counts().Slowed["messages"]; got != 2 {
		t.Errorf("%d pauses are counted", got)
	}
	if e := a[0].Slow(Bytes, 1<<30, now, Obeys); e != nil {
		t.Errorf("bytes have no limit: %+v", e)
	}
}

// Of the node's messages a connection that sends less than its part is never
// slowed, and the others together get the rest.
func TestSlowIsFair(t *testing.T) {
	const rate = 100
	_, a := limited(nodeRate(Messages, rate), 4)
	begin := time.Unix(1000, 0)
	type sender struct {
		next time.Time
		sent int
	}
	greedy := make([]sender, 2)
	slowed := 0
	for ms := range 10_000 {
		now := begin.Add(time.Duration(ms) * time.Millisecond)
		for i := range greedy {
			if g := &greedy[i]; !now.Before(g.next) {
				g.sent += 10
				if e := a[i].Slow(Messages, 10, now, Obeys); e != nil {
					g.next = now.Add(e.Wait)
				}
			}
		}
		if ms%50 == 0 && a[2].Slow(Messages, 1, now, Obeys) != nil { // 20 a second of its 25
			slowed++
		}
	}
	if slowed != 0 {
		t.Errorf("a modest sender was slowed %d times", slowed)
	}
	for i, g := range greedy {
		if g.sent < 300 || g.sent > 550 {
			t.Errorf("greedy sender %d sent %d of some 400", i, g.sent)
		}
	}
}

// Only who goes on at many times its rate is cut, and only after a while.
func TestAbuse(t *testing.T) {
	r := deviceRate(TwinReads, 10)
	r.AbuseFactor, r.AbuseAfter = 5, 10*time.Second
	for name, tc := range map[string]struct {
		rate  float64
		every time.Duration
		want  time.Duration // 0: never
	}{
		"four times":          {10, 25 * time.Millisecond, 0},
		"ten times":           {10, 10 * time.Millisecond, 10 * time.Second},
		"ten times of little": {0.5, 200 * time.Millisecond, 10 * time.Second},
		"four of little":      {0.5, 500 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := r
			r.Device[TwinReads] = tc.rate
			_, a := limited(r, 1)
			begin := time.Unix(1000, 0)
			for now := begin; now.Before(begin.Add(time.Minute)); now = now.Add(tc.every) {
				e := a[0].Allow(TwinReads, 1, now)
				if e == nil || !e.Cut {
					continue
				}
				if took := now.Sub(begin); tc.want == 0 || took < tc.want || took > tc.want+time.Second {
					t.Fatalf("cut after %v", took)
				}
				if !strings.Contains(e.Err.Error(), "5 times") {
					t.Errorf("the reason is %v", e.Err)
				}
				return
			}
			if tc.want > 0 {
				t.Error("not cut in a minute")
			}
		})
	}
}

// What a device has had within its limit is held against it by nobody, however much it
// was: a short time of four times the limit is no abuse after an hour of good behaviour.
func TestTheGoodPastIsNoAbuse(t *testing.T) {
	r := deviceRate(TwinReads, 10)
	r.AbuseFactor, r.AbuseAfter = 5, 10*time.Second
	_, a := limited(r, 1)
	now := time.Unix(1000, 0)
	ask := func(lasting, every time.Duration) (refused int) {
		for end := now.Add(lasting); now.Before(end); now = now.Add(every) {
			e := a[0].Allow(TwinReads, 1, now)
			if e == nil {
				continue
			}
			refused++
			if e.Cut {
				t.Fatalf("cut: %v", e.Err)
			}
		}
		return refused
	}
	if n := ask(time.Hour, time.Second/9); n > 0 {
		t.Fatalf("%d were refused within the limit", n)
	}
	now = now.Add(time.Minute)
	if n := ask(30*time.Second, time.Second/40); n == 0 {
		t.Error("nothing was refused beyond the limit")
	}
}

// A pause ends nobody's abuse, a break does; and who waits for PUBACKs obeys.
func TestAbuseOfASlowedSender(t *testing.T) {
	r := deviceRate(Messages, 10)
	r.AbuseFactor, r.AbuseAfter = 5, 10*time.Second
	for name, tc := range map[string]struct {
		first  int // messages at once
		rest   time.Duration
		manner Manner
		cut    bool
	}{
		"flood":              {100, 0, Presses, true},
		"flood with PUBACKs": {100, 0, Obeys, false},
		"with breaks":        {100, 2 * time.Second, Presses, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, a := limited(r, 1)
			now, cut := time.Unix(1000, 0), false
			for range 100 {
				e := a[0].Slow(Messages, tc.first, now, tc.manner)
				if e != nil && e.Cut {
					cut = true
					break
				}
				if e != nil {
					now = now.Add(e.Wait + tc.rest)
				}
			}
			if cut != tc.cut {
				t.Errorf("cut: %v", cut)
			}
		})
	}
	t.Run("a little too much", func(t *testing.T) {
		_, a := limited(r, 1)
		now := time.Unix(1000, 0)
		for range 10_000 { // 11 a second
			wait := time.Second / 11
			if e := a[0].Slow(Messages, 1, now, Presses); e != nil {
				if e.Cut {
					t.Fatal("cut")
				}
				wait = max(wait, e.Wait)
			}
			now = now.Add(wait)
		}
	})
}

func TestConnects(t *testing.T) {
	l := NewLimiter(nodeRate(Connects, 2))
	now := time.Unix(1000, 0)
	for i, want := range []hub.Code{0, 0, hub.Throttled, hub.Throttled} {
		if got := hub.CodeOf(l.Connect(now)); got != want {
			t.Errorf("CONNECT %d: %d, want %d", i, got, want)
		}
	}
	if err := l.Connect(now.Add(time.Second / 2)); err != nil {
		t.Error(err)
	}
	var none *Limiter
	if err := none.Connect(now); err != nil || none.Counts().Cut != 0 {
		t.Error("no limiter limits something")
	}
}

func TestLimitsCostNothing(t *testing.T) {
	var free Account
	_, a := limited(deviceRate(Messages, 1e9), 1)
	now := time.Now()
	a[0].Slow(Messages, 1, now, Obeys)
	for name, f := range map[string]func(){
		"without limits": func() { free.Slow(Messages, 1, now, Obeys) },
		"with one":       func() { a[0].Slow(Messages, 1, now, Obeys) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkLimits is what the limits cost for each read, however many messages
// that has.
func BenchmarkLimits(b *testing.B) {
	var free Account
	_, one := limited(deviceRate(Messages, 1e9), 1)
	both := deviceRate(Messages, 1e9)
	both.Node[Messages], both.Device[Bytes], both.Node[Bytes] = 1e9, 1e12, 1e12
	_, all := limited(both, 1)
	now := time.Now()
	for _, bc := range []struct {
		name string
		a    *Account
	}{{"none", &free}, {"device", one[0]}, {"all", all[0]}} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Microsecond)
				bc.a.Slow(Messages, 1, now, Obeys)
				bc.a.Slow(Bytes, 256, now, Obeys)
			}
		})
	}
}

package backend

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// pair is a begin and an end as [peer.told] writes them.
func pair(v session.Session, code hub.Code) string {
	return fmt.Sprintf("%X+ %X-%d", v.Epoch, v.Epoch, code)
}

// TestEndsOutliveTheirTellers: an end that a node has stored, or brought about, and
// did not live to tell, is told by who claims the identity next.
func TestEndsOutliveTheirTellers(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b, c := join(t, s, "a"), join(t, s, "b"), join(t, s, "c")
	first := a.connects(t, "d", "a1", "")
	second := b.claims(t, "d", "b1", "") // and b dies, and has told nothing but this:
	b.events.Connection(second.Began())
	until(t, "that is stored", func() bool { return strings.HasSuffix(b.told(t, "d"), "+") })
	third := c.claims(t, "d", "c1", "") // and c too
	last := a.connects(t, "d", "a2", "")
	want := []string{pair(first, hub.ConnectionReplaced), pair(second.Session, hub.ConnectionReplaced), pair(third.Session, hub.ConnectionReplaced)}
	if got := byNumber(a.told(t, "d")); got != strings.Join(want, " ") {
		t.Errorf("told %s, want %s", got, strings.Join(want, " "))
	}
	last.DisconnectedTime, last.Code, last.Reason = time.Now(), hub.ConnectionLost, "as the test asks"
	if err := a.sessions.release(testContext(t), &last); err != nil { // and a dies
		t.Fatal(err)
	}
	if got := a.session(t, "d").Ends; len(got) > 0 {
		t.Errorf("what is told is kept: %+v", got)
	}
	b.connects(t, "d", "b2", "")
	want = append(want, pair(last, hub.ConnectionLost))
	if got := byNumber(b.told(t, "d")); got != strings.Join(want, " ") {
		t.Errorf("told %s, want %s", got, strings.Join(want, " "))
	}
}

// TestEndWhoseAnswerWasLost: a release that was stored without an answer, and a claim
// of the same node before it is tried again. The end is told, once.
func TestEndWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := join(t, s, "a")
	first := a.connects(t, "d", "a1", "")
	first.DisconnectedTime, first.Code, first.Reason = time.Now(), hub.ConnectionLost, "as the test asks"
	later := first
	a.events.owe(ending{first.ID, first.Epoch})
	if err := a.sessions.release(testContext(t), &first); err != nil {
		t.Fatal(err)
	}
	a.connects(t, "d", "a2", "")
	for try := range 2 {
		if err := a.sessions.releaseLate(testContext(t), &later); err != nil {
			t.Fatalf("try %d: %v", try, err)
		}
	}
	a.events.pay(ending{first.ID, first.Epoch})
	if want := pair(later, hub.ConnectionLost); !strings.HasPrefix(byNumber(a.told(t, "d")), want) || strings.Count(a.told(t, "d"), "-") != 1 {
		t.Errorf("told %s, want %s and no other end", a.told(t, "d"), want)
	}
}

// TestEndOfOneNotLetIn: a client was not let in after all, and that is stored without an
// answer, so that its begin is told. Another node claims before it is tried again, and
// finds no name. The end is told, once.
func TestEndOfOneNotLetIn(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := join(t, s, "a"), join(t, s, "b")
	first := a.connects(t, "d", "a1", "")
	first.DisconnectedTime, first.Code, first.Reason, first.Untold = time.Now(), hub.ServiceUnavailable, "as the test asks", true
	later := first
	a.events.owe(ending{first.ID, first.Epoch})
	if err := a.sessions.release(testContext(t), &first); err != nil {
		t.Fatal(err)
	}
	a.events.Connection(first.Began())
	allTold(t, a)
	b.connects(t, "d", "b1", "")
	for try := range 2 {
		if err := a.sessions.releaseLate(testContext(t), &later); err != nil {
			t.Fatalf("try %d: %v", try, err)
		}
	}
	a.events.pay(ending{first.ID, first.Epoch})
	if want, told := pair(later, hub.ServiceUnavailable), a.told(t, "d"); told != want {
		t.Errorf("told %s, want %s", told, want)
	}
}

// byNumber orders what [peer.told] has found by epoch, begin and end: where epochs
// have as many digits, by their value.
func byNumber(told string) string {
	all := strings.Fields(told)
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestRepairTellsAllEnds: those of connections that were displaced before, too.
func TestRepairTellsAllEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b, c := join(t, s, "a"), join(t, s, "b"), join(t, s, "c")
	first := a.connects(t, "d", "a1", "")
	second := b.claims(t, "d", "b1", "")
	third := a.claims(t, "d", "a2", "")
	a.die()
	until(t, "the node is repaired", func() bool { return c.record(t, "a").State == NodeRepaired })
	want := strings.Join([]string{pair(first, hub.ConnectionReplaced), pair(second.Session, hub.ConnectionReplaced), pair(third.Session, hub.ServiceUnavailable)}, " ")
	if got := c.told(t, "d"); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// TestEndsAreToldOnce: nodes that live tell each end once, wherever the device
// goes, and remember none.
func TestEndsAreToldOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	peers := []*peer{join(t, s, "a"), join(t, s, "b")}
	var want []string
	for i := range 12 {
		p := peers[i/2%2]
		v := p.connects(t, "d", fmt.Sprint("c", i), "")
		p.events.Connection(v.Began())                                          // as the gateway does
		if again := i%2 == 1; again && len(v.Ends) > 0 != (v.Displaced != "") { // the node knows what it has told
			t.Errorf("a claim after %d ends: %+v", i, v.Ends)
		}
		code := hub.ConnectionReplaced
		if i%3 > 0 {
			code = hub.ConnectionLost
			p.ends(t, &v, code)
		}
		allTold(t, p)
		want = append(want, pair(v, code))
	}
	v := peers[1].session(t, "d")
	if err := peers[1].sessions.Save(testContext(t), &v); err != nil {
		t.Fatal(err)
	}
	if v.Connected {
		t.Fatal("the last connection was to be ended")
	}
	if got := peers[1].session(t, "d").Ends; len(got) > 0 {
		t.Errorf("what is told is kept: %+v", got)
	}
	// Who has taken over may tell an end before the begin of its connection is stored.
	if got, want := byNumber(peers[0].told(t, "d")), byNumber(strings.Join(want, " ")); got != want {
		t.Errorf("told\n%s, want\n%s", got, want)
	}
}

// TestFightTellsOnce: connections of one node that take over from each other as fast
// as they can, while nothing of that is in the stream yet, tell each end once.
func TestFightTellsOnce(t *testing.T) {
	t.Parallel()
	p := join(t, serve(t, "", 0), "a")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 40 {
				claim := func() (session.Session, bool, error) {
					return p.sessions.Claim(testContext(t), p.wants("d", fmt.Sprintf("c%d-%d", i, n), ""))
				}
				v, _, err := claim()
				for isRefused(err) { // eight at once may be too many
					v, _, err = claim()
				}
				if err != nil {
					t.Errorf("claim: %v", err)
					return
				}
				p.events.Connection(v.Began())
			}
		})
	}
	wg.Wait()
	last := p.session(t, "d")
	p.ends(t, &last, hub.ConnectionLost)
	allTold(t, p)
	counts := map[string]int{}
	until(t, "all is told", func() bool {
		clear(counts)
		for text := range strings.FieldsSeq(p.told(t, "d")) {
			counts[text[:strings.IndexAny(text, "+-")+1]]++
		}
		return len(counts) == 2*8*40
	})
	for text, n := range counts {
		if n != 1 {
			t.Errorf("%s is told %d times", text, n)
		}
	}
}

// allTold waits until p has told all ends, and everything it queued before.
func allTold(t *testing.T, p *peer) {
	t.Helper()
	if err := p.sessions.settle(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// TestEndsAreBounded: an identity has no endless list, and nobody is let in who
// would make it one while nothing can be told.
func TestEndsAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	peers := []*peer{join(t, s, "a"), join(t, s, "b")}
	var want []string
	claim := func(i int) session.Session {
		v := peers[i%2].claims(t, "d", fmt.Sprint("c", i), "").Session
		if len(v.Ends) > session.MaxEnds {
			t.Fatalf("a claim after %d ends: %+v", i, v.Ends)
		}
		want = append(want, pair(v, hub.ConnectionReplaced))
		return v
	}
	for i := range session.MaxEnds + 1 {
		claim(i)
	}
	cfg := stopEvents(t, peers[0].Backbone)
	before := peers[0].session(t, "d")
	ctx, cancel := context.WithTimeout(testContext(t), time.Second)
	defer cancel()
	if _, _, _, err := peers[1].sessions.claimOnce(ctx, peers[1].wants("d", "refused", "")); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("a claim that nobody can tell of: %v", err)
	}
	if now := peers[0].session(t, "d"); now.Revision != before.Revision {
		t.Errorf("it has changed the session: %+v", now)
	}
	cfg()
	claim(session.MaxEnds + 1)
	peers[0].connects(t, "d", "last", "")
	if got := peers[0].told(t, "d"); got != strings.Join(want, " ") {
		t.Errorf("told\n%s, want\n%s", got, strings.Join(want, " "))
	}
}

// stopEvents lets the stream of events take none until the function is called that
// it returns.
func stopEvents(t *testing.T, b *Backbone) (resume func()) {
	t.Helper()
	stream, err := b.js.Stream(testContext(t), b.names.EventsStream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	if err := b.js.DeleteStream(testContext(t), cfg.Name); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := b.js.CreateStream(testContext(t), cfg); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEndsWaitForTheirStream: an end that is not stored in time is not given up.
func TestEndsWaitForTheirStream(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	p := &peer{Backbone: open(t, s, Config{Node: "a", StoreTimeout: 300 * time.Millisecond})}
	v := p.connects(t, "d", "c1", "")
	resume := stopEvents(t, p.Backbone)
	p.ends(t, &v, hub.ConnectionLost)
	until(t, "the engine gives it up", func() bool { return p.events.engine.Failed() > 0 })
	resume()
	allTold(t, p)
	if got, want := p.told(t, "d"), fmt.Sprintf("%X-%d", v.Epoch, hub.ConnectionLost); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// TestTrueReasonIsTold: who displaces a connection that has ended already, which
// only could not be stored, tells why it ended, and not that it was displaced.
func TestTrueReasonIsTold(t *testing.T) {
	t.Parallel()
	p := &peer{Backbone: open(t, serve(t, "", 0), Config{Node: "a"})}
	v := p.connects(t, "d", "c1", "")
	ended := v
	ended.DisconnectedTime, ended.Code, ended.Reason = time.Now(), hub.ConnectionLost, "as the test asks"
	p.sessions.late.Store("c1", ended) // as a release that has to wait leaves it
	p.connects(t, "d", "c2", "")
	allTold(t, p)
	if got, want := p.told(t, "d"), fmt.Sprintf("%X-%d", v.Epoch, hub.ConnectionLost); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// TestOldEndsCountAsTold: of an end that the stream may have forgotten nobody tells
// once more.
func TestOldEndsCountAsTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kept, age time.Duration
		told      bool
	}{
		"a day":                  {0, 25 * time.Hour, false},
		"less than a day":        {0, 23 * time.Hour, true},
		"half of what is kept":   {2 * time.Hour, 61 * time.Minute, false},
		"less than half of that": {2 * time.Hour, 59 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "", 0)
			a := &peer{Backbone: open(t, s, Config{Node: "a", Events: Limits{MaxAge: tc.kept}})}
			b := &peer{Backbone: open(t, s, Config{Node: "b", Events: Limits{MaxAge: tc.kept}})}
			v := a.claims(t, "d", "a1", "").Session
			v.DisconnectedTime, v.Code = time.Now().Add(-tc.age), hub.ConnectionLost
			if err := a.sessions.release(testContext(t), &v); err != nil { // and nobody tells it
				t.Fatal(err)
			}
			b.connects(t, "d", "b1", "")
			want := ""
			if tc.told {
				want = pair(v, hub.ConnectionLost)
			}
			if got := b.told(t, "d"); got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		})
	}
}

// TestNotLetIn: of a connection that was claimed and not let in nobody is told,
// neither by the next claim nor by a repair.
func TestNotLetIn(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := join(t, s, "a"), join(t, s, "b")
	for _, dev := range []string{"moves", "stays"} {
		v := a.claims(t, dev, "a1", "").Session
		v.Untold, v.DisconnectedTime, v.Code = true, time.Now(), hub.ServiceUnavailable
		if err := a.sessions.Release(testContext(t), &v); err != nil {
			t.Fatal(err)
		}
	}
	b.connects(t, "moves", "b1", "")
	a.die()
	until(t, "the node is repaired", func() bool { return b.record(t, "a").State == NodeRepaired })
	for _, dev := range []string{"moves", "stays"} {
		if got := b.told(t, dev); got != "" {
			t.Errorf("told of %s: %s", dev, got)
		}
	}
}

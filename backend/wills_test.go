package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// TestWillIsSentOnce has many senders of the same will, on two connections, amid
// messages of the same device.
func TestWillIsSentOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := &peer{Backbone: open(t, s, Config{Node: "a"})}, &peer{Backbone: open(t, s, Config{Node: "b"})}
	id := hub.Identity{Device: "d"}
	var names []string
	for i := range 20 {
		will, err := a.sessions.wills.keep(testContext(t), id, "", &session.Will{Body: fmt.Append(nil, "will ", i)})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, will)
	}
	l := newLedger(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 300 {
			a.telemetry.Store(message(id, tagOf(0, i)), l, tagOf(0, i))
		}
	})
	for i := range 6 {
		store := []*peer{a, b}[i%2].sessions.wills
		wg.Go(func() {
			for _, will := range names {
				if err := store.send(testContext(t), id, will); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l.wait(300)
	counts := map[string]int{}
	for _, body := range a.wills(t, "d") {
		counts[body]++
	}
	for i := range names {
		if n := counts[fmt.Sprint("will ", i)]; n != 1 {
			t.Errorf("will %d was sent %d times", i, n)
		}
	}
	if keys, err := a.sessions.wills.bucket.keys(testContext(t), ">"); err != nil || len(keys) > 0 {
		t.Errorf("keys %q, %v; want none", keys, err)
	}
}

// TestSenderOfWillDies stops a sender at each step; another one ends its work. The
// first one, if it was only slow, does no more.
func TestSenderOfWillDies(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := &peer{Backbone: open(t, s, Config{Node: "a"})}, &peer{Backbone: open(t, s, Config{Node: "b"})}
	for name, published := range map[string]bool{"before": false, "after": true} {
		id := hub.Identity{Device: name}
		w := a.sessions.wills
		will, err := w.keep(testContext(t), id, "", &session.Will{Body: []byte("bye"), Headers: [][2]string{{"x", "y"}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.attempt(testContext(t), id, will); !errors.Is(err, errAgain) { // it says where
			t.Fatal(err)
		}
		m, err := w.bucket.current(testContext(t), subject.WillKey(will, id))
		if err != nil {
			t.Fatal(err)
		}
		var stored storedWill
		if err := json.Unmarshal(m.Data, &stored); err != nil || stored.Sending == nil {
			t.Fatalf("the key has %s, %v", m.Data, err)
		}
		_, last, err := w.look(testContext(t), *stored.Sending, will)
		if err != nil {
			t.Fatal(err)
		}
		if published {
			if err := w.publish(testContext(t), stored, will, last); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.sessions.wills.send(testContext(t), id, will); err != nil {
			t.Fatal(err)
		}
		// The publication of who is late comes now.
		if err := w.publish(testContext(t), stored, will, last); !errors.Is(err, errAgain) {
			t.Errorf("%s: the late publication: %v", name, err)
		}
		if got := a.wills(t, name); len(got) != 1 {
			t.Errorf("%s: wills %q", name, got)
		}
	}
}

// TestWillThatNobodyTakes is told as lost, and owed no more.
func TestWillThatNobodyTakes(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := &peer{Backbone: open(t, s, Config{Node: "b"})}
	var lost []error
	b.sessions.wills.lost = func(_ hub.Identity, err error) { lost = append(lost, err) }
	stream, err := b.js.Stream(testContext(t), b.names.TelemetryStream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgSize = 200
	if _, err := b.js.UpdateStream(testContext(t), cfg); err != nil {
		t.Fatal(err)
	}
	v := b.connects(t, "d", "c", string(make([]byte, 1000)))
	b.ends(t, &v, hub.ConnectionLost)
	if !b.sessions.debts.wait(testContext(t)) {
		t.Fatal("debts are left")
	}
	if len(lost) != 1 || hub.CodeOf(lost[0]) != hub.MessageTooLarge || len(b.session(t, "d").Owed) > 0 {
		t.Errorf("lost %v, session %+v", lost, b.session(t, "d"))
	}
}

// TestDebtsOutliveAnOutage: what could not be told while NATS was away is told
// when it is back.
func TestDebtsOutliveAnOutage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	p := join(t, s, "a")
	v, port := p.connects(t, "d", "c", "bye"), s.Port()
	halt(t, s)
	v.DisconnectedTime, v.Code, v.Reason = time.Now(), hub.ConnectionLost, "it is gone"
	if err := p.sessions.Release(testContext(t), &v); err == nil {
		t.Fatal("released without a store")
	}
	if _, _, err := p.sessions.Claim(testContext(t), session.Session{ID: hub.Identity{Device: "e"}, Node: "a", Connected: true}); err == nil {
		t.Fatal("claimed without a store")
	}
	serve(t, dir, port)
	until(t, "the end is stored", func() bool {
		now, err := p.sessions.Get(testContext(t), v.ID)
		return err == nil && !now.Connected && now.Reason == "it is gone"
	})
	until(t, "the will is sent", func() bool { return slices.Equal(p.wills(t, "d"), []string{"bye"}) })
	until(t, "the end is told", func() bool { return p.told(t, "d") == fmt.Sprintf("%X-%d", v.Epoch, hub.ConnectionLost) })
	if now := p.session(t, "e"); now.Connected {
		t.Errorf("a claim that has failed is stored: %+v", now)
	}
}

// TestAbandonedClaim: a claim that was stored though its answer was lost is ended,
// its will is not sent, and the end of whom it displaced is told.
func TestAbandonedClaim(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	p := &peer{Backbone: open(t, s, Config{Node: "a"})}
	first := p.connects(t, "d", "c1", "")
	lost := p.claims(t, "d", "c2", "never told")
	p.sessions.disown(lost.Session, errors.New("no answer"), lost.told)
	if !p.sessions.debts.wait(testContext(t)) {
		t.Fatal("debts are left")
	}
	now := p.session(t, "d")
	if now.Connected || now.Epoch != lost.Epoch || len(now.Owed) > 0 || now.WillID != "" {
		t.Errorf("session %+v", now)
	}
	until(t, "the end of the first", func() bool { return p.told(t, "d") == fmt.Sprintf("%X+ %X-400027", first.Epoch, first.Epoch) })
	if got := p.wills(t, "d"); len(got) > 0 {
		t.Errorf("wills %q", got)
	}
	if keys, err := p.sessions.wills.bucket.keys(testContext(t), ">"); err != nil || len(keys) > 0 {
		t.Errorf("keys %q, %v; want none", keys, err)
	}
	// A claim that was never stored touches nobody's.
	second := p.connects(t, "d", "c3", "")
	p.sessions.disown(session.Session{ID: first.ID, Node: "a", Connection: "c4"}, errors.New("no answer"), farewell{paid: func() {}})
	if !p.sessions.debts.wait(testContext(t)) || p.session(t, "d").Revision != second.Revision {
		t.Errorf("session %+v", p.session(t, "d"))
	}
}

// TestOwnerBesideSenderOfWills: the owner writes although a sender has written.
func TestOwnerBesideSenderOfWills(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	p := &peer{Backbone: open(t, s, Config{Node: "a"})}
	p.connects(t, "d", "c1", "bye")
	owned := p.connects(t, "d", "c2", "second")
	if !p.sessions.debts.wait(testContext(t)) { // the first will is sent and noted
		t.Fatal("debts are left")
	}
	if len(owned.Owed) != 1 {
		t.Fatalf("claimed %+v", owned)
	}
	owned.Subscribe(session.Subscription{Filter: "a"})
	if err := p.sessions.Save(testContext(t), &owned); err != nil {
		t.Fatal(err)
	}
	if now := p.session(t, "d"); len(now.Owed) > 0 || now.WillID != owned.WillID || len(now.Subscriptions) != 1 || now.Epoch != owned.Epoch {
		t.Errorf("stored %+v", now)
	}
	p.ends(t, &owned, hub.ConnectionLost)
	until(t, "both wills", func() bool { return slices.Equal(p.wills(t, "d"), []string{"bye", "second"}) })
}

// TestTooManyOwedWills: nobody is let in while too many wills wait.
func TestTooManyOwedWills(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	p := &peer{Backbone: open(t, s, Config{Node: "a"})}
	if err := p.js.DeleteStream(testContext(t), p.names.TelemetryStream()); err != nil {
		t.Fatal(err)
	}
	var err error
	n := 0
	for ; n < 2*session.MaxOwed && err == nil; n++ {
		v := session.Session{ID: hub.Identity{Device: "d"}, Generation: "g", Connected: true, Node: "a", Connection: fmt.Sprint(n), Will: &session.Will{}}
		_, _, err = p.sessions.Claim(testContext(t), v)
	}
	if hub.CodeOf(err) != hub.ServiceUnavailable || n != session.MaxOwed+2 {
		t.Errorf("claim %d: %v", n, err)
	}
}

// TestOwedWillsOfNobody: a hub that was restored from a backup has sessions that owe
// as many wills as there may be, and one more, and no node that is at it. Whoever
// comes finds that they can be sent.
func TestOwedWillsOfNobody(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	p := &peer{Backbone: open(t, s, Config{Node: "a"})}
	v := session.Session{ID: hub.Identity{Device: "d"}, Generation: "g1"}
	var want []string
	for n := range session.MaxOwed + 1 {
		body := fmt.Sprint("will ", n)
		will, err := p.sessions.wills.keep(testContext(t), v.ID, "then", &session.Will{Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		want, v.Owed = append(want, body), append(v.Owed, will)
	}
	if _, err := p.sessions.write(testContext(t), subject.Key(v.ID), stored{Session: v}, 0); err != nil {
		t.Fatal(err)
	}
	now := p.connects(t, "d", "c", "")
	if len(now.Owed) > 0 {
		t.Errorf("owed are %q", now.Owed)
	}
	if got := p.wills(t, "d"); !slices.Equal(got, want) {
		t.Errorf("wills %q", got)
	}
}

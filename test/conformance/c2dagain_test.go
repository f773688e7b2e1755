package conformance

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// c2dAgain has messages delivered and not acknowledged when the device's process,
// or the device's and the gateway's, are killed: they come again, under the same
// packet identifiers, and marked.
func c2dAgain(t *testing.T, s *sdk) {
	address := freeAddress(t)
	g := startGateway(t, "--alias", address)
	r := record(t, g, address)
	for _, name := range []string{"device", "gateway"} {
		id := name + "-killed"
		who := g.create(id)
		r.mute.Store(true)
		d := s.start(t)
		d.listen("a", r.open(s, id, who.ConnectionString))
		sent := g.sendNumbered(id, 0, 3)
		d.wantTaken(s, id, sent)
		if name == "gateway" {
			g.Stop(t, syscall.SIGKILL)
		}
		d.kill()
		if name == "gateway" {
			g.Start(t)
		} else {
			g.awaitFailures(id, 1)
		}
		first := deliveries(t, r.take())
		r.mute.Store(false)
		d = s.start(t)
		d.listen("a", r.open(s, id, who.ConnectionString))
		d.wantTaken(s, id, sent)
		g.awaitEmpty(id)
		d.do("close", "a", nil)
		second := deliveries(t, r.take())
		for i := range second {
			if first[i].get("dup") != "0" || second[i].get("dup") != "1" || first[i].get("id") != second[i].get("id") {
				t.Errorf("%s: first %.200s\nthen %.200s\nwant the same identifier, and DUP", id, first[i], second[i])
			}
		}
		g.wantOutcomes(id, who, "m-000 Success", "m-001 Success", "m-002 Success")
	}
}

// deliveries picks the three messages from the cloud out of a dialogue.
func deliveries(t *testing.T, dialogue []string) (all []packet) {
	t.Helper()
	for _, text := range dialogue {
		if !strings.HasPrefix(text, "< PUBLISH") || !strings.Contains(text, "/devicebound/") {
			continue
		}
		p, err := parse(strings.TrimPrefix(text, "< "))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) != 3 {
		t.Fatalf("%d deliveries on the wire, want 3:\n%s", len(all), strings.Join(dialogue, "\n"))
	}
	return all
}

// c2dOutlives ends the gateway while messages are on their way. The SDK comes
// back by itself, and gets what it has not acknowledged and nothing whose outcome
// was stored.
func c2dOutlives(t *testing.T, s *sdk) {
	g := startGateway(t)
	for id, sig := range map[string]syscall.Signal{"polite": syscall.SIGTERM, "forced": syscall.SIGKILL} {
		who := g.create(id)
		d := s.start(t)
		d.listen("a", s.open(g, id, who.ConnectionString, nil))
		sent := g.sendNumbered(id, 0, 1)
		d.taken(s, 1) // the SUBACK is there
		sent = append(sent, g.sendNumbered(id, 1, 40)...)
		g.Stop(t, sig)
		ended := time.Now()
		g.Start(t)
		before := []line(nil)
		if d.givesUp(s, ended) {
			d.kill()
			before = d.events()
			d = s.start(t)
			d.listen("a", s.open(g, id, who.ConnectionString, nil))
		}
		done := map[string]bool{}
		for _, o := range g.outcomes(id, 0) {
			done[o.ID] = o.Time.Before(ended)
		}
		sent = append(sent, g.sendNumbered(id, 40, 50)...)
		g.awaitEmpty(id)
		times := d.times(before, len(sent))
		var want []string
		again := 0
		for _, m := range sent {
			want = append(want, m.MessageID+" Success")
			again += times[m.MessageID] - 1
			if done[m.MessageID] && times[m.MessageID] != 1 {
				t.Errorf("%v: message %s was delivered %d times, but its feedback was stored before", sig, m.MessageID, times[m.MessageID])
			}
		}
		g.wantOutcomes(id, who, want...)
		t.Logf("%v: %d outcomes were stored before, %d messages came a second time", sig, len(done), again)
	}
}

// givesUp waits until the SDK has come back since a moment, and reports whether
// it never will: its application would have to begin anew.
func (d *driver) givesUp(s *sdk, since time.Time) bool {
	d.t.Helper()
	end := d.await("new connection", func(l line) bool {
		quits := l.Event == "disconnected" && s.quits != "" && l.Error != nil && l.Error.Class == s.quits
		return quits || l.Event == "died" || l.Event == "connected" && l.at.After(since)
	})
	if end.Event == "connected" {
		return false
	}
	if end.Event == "died" && end.Error.Class != s.mortal {
		d.t.Fatalf("the SDK's network thread died of %v", end.Error)
	}
	d.t.Logf("the SDK gives up after %s: %v", end.Event, end.Error)
	return true
}

// times waits until n different messages from the cloud have come, some of them
// before to another driver, and says how often each did.
func (d *driver) times(before []line, n int) map[string]int {
	d.t.Helper()
	times := map[string]int{}
	for _, l := range before {
		if l.Event == "message" {
			times[l.Message.MessageID]++
		}
	}
	d.await(fmt.Sprintf("%d different messages from the cloud", n), func(l line) bool {
		if l.Event == "message" {
			times[l.Message.MessageID]++
		}
		return len(times) == n
	})
	return times
}

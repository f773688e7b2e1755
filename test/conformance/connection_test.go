package conformance

import (
	"testing"
	"time"
)

// closedByOwner is IoT Hub's code for "another connection of the same identity".
const closedByOwner = 400027

// tokenRenewal sends without pause while the SDK renews its token twice; every
// message arrives.
func tokenRenewal(t *testing.T, g *gateway, s *sdk) {
	id := deviceName(t)
	who := g.create(id)
	d := s.start(t)
	d.do("open", "a", s.open(g, id, who.ConnectionString, s.renewal(g, who, id)))
	d.do("pump", "a", args{"prefix": "r", "window": 4, "pauseMillis": 5})
	events := g.awaitEvents(id, "three connections", func(events []event) bool {
		return len(connects(events)) >= 3
	})
	t.Logf("%d connections", len(connects(events)))
	nothingLost(t, g, d, id)
}

// tokenReplaced does the same with tokens that the application makes, here by
// hubgate sas, and gives to the SDK one after the other.
func tokenReplaced(t *testing.T, g *gateway, s *sdk) {
	if !s.replaces {
		return // such an SDK asks a callback for its tokens: see tokenRenewal
	}
	id := deviceName(t)
	who := g.create(id)
	d := s.start(t)
	first := args{"tokens": []string{g.sas(id, time.Hour)}}
	d.do("open", "a", s.open(g, id, who.ConnectionString, first))
	d.do("pump", "a", args{"prefix": "r", "window": 4, "pauseMillis": 5})
	for ttl := range 2 {
		d.awaitCount("message confirmed before the renewal", 20, confirmedAfter(time.Now()))
		d.do("renew", "a", args{"token": g.sas(id, time.Hour+time.Duration(1+ttl)*time.Minute)})
	}
	g.awaitEvents(id, "three connections", func(events []event) bool { return len(connects(events)) >= 3 })
	nothingLost(t, g, d, id)
}

// nothingLost ends a pump and checks that each of its messages was confirmed and
// has arrived.
func nothingLost(t *testing.T, g *gateway, d *driver, id string) {
	t.Helper()
	d.awaitCount("message confirmed after the renewals", 20, confirmedAfter(time.Now()))
	sent := d.do("stop", "a", nil).Sent
	d.awaitCount("message ended", sent, func(l line) bool { return l.Event == "confirmed" || l.Event == "failed" })
	then := d.events()
	d.do("close", "a", nil)
	t.Log(g.audit(then, id, "r"))
	for _, l := range then {
		if l.Event == "failed" {
			t.Errorf("the SDK reported message %d lost over a renewal: %v", l.Seq, l.Error)
			break
		}
	}
}

// takeover connects a second client of the same identity: the first is closed, and
// the events say why.
func takeover(t *testing.T, g *gateway, s *sdk) {
	id := deviceName(t)
	who := g.create(id)
	d := s.start(t)
	d.do("open", "first", s.open(g, id, who.ConnectionString, args{"noRetry": true}))
	d.do("send", "first", args{"message": message{Body: []byte("from the first"), MessageID: "1"}})
	d.do("open", "second", s.open(g, id, who.ConnectionString, args{"noRetry": true}))
	d.await("disconnect of the first client", func(l line) bool {
		return l.Client == "first" && l.Event == "disconnected"
	})
	d.do("send", "second", args{"message": message{Body: []byte("from the second"), MessageID: "2"}})
	compare(t, id, who, []message{
		s.adapt(id, message{Body: []byte("from the first"), MessageID: "1"}),
		s.adapt(id, message{Body: []byte("from the second"), MessageID: "2"}),
	}, g.messages(id, 2))
	g.awaitEnd(id, "disconnect with the code of a take-over", func(e event) bool { return e.Code == closedByOwner })
	for _, l := range d.events() {
		if l.Client == "second" && l.Event == "disconnected" {
			t.Errorf("the second client was disconnected too: %v", l.Error)
		}
	}
	d.do("close", "second", nil)
}

// cut checks that disabling and deleting a device closes its connection within a
// second. That is by the gateway's clock: how soon the SDK notices depends on how
// busy the machine is.
func cut(t *testing.T, g *gateway, s *sdk) {
	for _, verb := range []string{"disable", "delete"} {
		id := deviceName(t) + "-" + verb
		who := g.create(id)
		d := s.start(t)
		d.do("open", "a", s.open(g, id, who.ConnectionString, args{"noRetry": true}))
		d.do("send", "a", args{"message": message{Body: []byte("alive"), MessageID: "1"}})
		g.cli("device", verb, id)
		done := time.Now()
		d.await("disconnect after device "+verb, func(l line) bool { return l.Event == "disconnected" })
		end := g.awaitEnd(id, "disconnect after device "+verb, func(event) bool { return true })
		took := end.Time.Sub(done)
		t.Logf("%s: cut %v after the command", verb, took)
		if took > time.Second {
			t.Errorf("device %s cut the connection after %v, want within a second", verb, took)
		}
	}
}

// connects are the connect events among events.
func connects(events []event) []event {
	var all []event
	for _, e := range events {
		if e.Type == "deviceConnected" {
			all = append(all, e)
		}
	}
	return all
}

// confirmedAfter matches messages confirmed after a moment.
func confirmedAfter(moment time.Time) func(line) bool {
	return func(l line) bool { return l.Event == "confirmed" && l.at.After(moment) }
}

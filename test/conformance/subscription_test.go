package conformance

import (
	"syscall"
	"testing"
	"time"
)

// patchesBefore is how many patches a device sends before the gateway goes away.
const patchesBefore = 20

// subscriptionsOutlive subscribes, restarts the gateway, and checks that the
// session has every filter once the SDK is back, and that they work. Python never
// subscribes again, Node not for twins, Java not for methods: without the stored
// session these devices would stay deaf.
func subscriptionsOutlive(t *testing.T, s *sdk) {
	g := startGateway(t)
	for id, sig := range map[string]syscall.Signal{"polite": syscall.SIGTERM, "forced": syscall.SIGKILL} {
		who := g.create(id)
		want := []string{"devices/" + id + "/messages/devicebound/#", filterMethods, filterTwin, filterDesired}
		d := s.start(t)
		d.do("open", "a", s.open(g, id, who.ConnectionString, nil))
		for _, filter := range []string{"c2d", "methods", "twin"} {
			d.do("subscribe", "a", args{"filter": filter})
		}
		d.do("twin", "a", nil) // Python subscribes to answers when it asks
		before := g.presence(id, "session with all filters", func(p session) bool {
			return p.Connected && p.Has(want...)
		})
		for n := range patchesBefore {
			d.do("patch", "a", args{"patch": args{"n": n}})
		}
		// The PUBACK comes after the SUBACKs. A connection that is reset before those
		// makes Node's SDK give up and Java's wait for half a minute.
		d.do("send", "a", args{"message": message{Body: []byte("ready"), MessageID: "1"}})
		begin := time.Now()
		g.restart(sig)
		after := g.presence(id, "new connection", func(p session) bool {
			return p.Connected && p.Connection != before.Connection
		})
		if !after.Has(want...) {
			t.Errorf("after a restart by %v the session has %v, want %v", sig, after.Subscriptions, want)
		}
		d.await("report of the new connection", func(l line) bool {
			return l.Client == "a" && l.Event == "connected" && l.at.After(begin)
		})
		twinOutlives(t, g, d, s, id)
		if status, got, err := g.call(id, "echo", `"again"`); err != nil || status != "207" || got != `"again"` {
			t.Errorf("method after a restart by %v: %s %s, %v", sig, status, got, err)
		}
	}
}

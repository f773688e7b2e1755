package conformance

import (
	"syscall"
	"testing"
	"time"
)

// subscriptionsOutlive subscribes, restarts the gateway, and checks that the
// session has every filter once the SDK is back. Python never subscribes again,
// Node not for twins, Java not for methods: without the stored session these
// devices would stay deaf.
func subscriptionsOutlive(t *testing.T, s *sdk) {
	g := startGateway(t)
	id := "subscriber"
	who := g.create(id)
	d := s.start(t)
	want := append([]string{"devices/" + id + "/messages/devicebound/#"}, s.filters...)
	filters := []string{"c2d", "methods", "twin"}
	if s.asksTwin {
		// While twins are not served, the gateway closes on the question. So it comes
		// from a client that goes away, and the session keeps what it subscribed.
		filters = filters[:2]
		d.do("open", "asks", s.open(g, id, who.ConnectionString, args{"noRetry": true}))
		d.do("subscribe", "asks", args{"filter": "twin"})
		d.await("end of the question for the twin", func(l line) bool {
			return l.Client == "asks" && (l.Event == "twin" || l.Event == "disconnected")
		})
		d.do("close", "asks", nil)
	}
	// After a reconnection Python would ask for the twin too.
	d.do("open", "a", s.open(g, id, who.ConnectionString, args{"noTwinRequest": true}))
	for _, filter := range filters {
		d.do("subscribe", "a", args{"filter": filter})
	}
	before := g.presence(id, "session with all filters", func(p session) bool {
		return p.Connected && p.has(want...)
	})
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		begin := time.Now()
		g.restart(sig)
		after := g.presence(id, "new connection", func(p session) bool {
			return p.Connected && p.Connection != before.Connection
		})
		if !after.has(want...) {
			t.Fatalf("after a restart by %v the session has %v, want %v", sig, after.Subscriptions, want)
		}
		before = after
		// A gateway that dies between CONNACK and SUBACK costs Java's SDK half a minute.
		d.await("report of the new connection", func(l line) bool {
			return l.Client == "a" && l.Event == "connected" && l.at.After(begin)
		})
	}
}

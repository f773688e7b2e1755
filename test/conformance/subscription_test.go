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
	d.do("open", "a", s.open(g, id, who.ConnectionString, nil))
	want := append([]string{"devices/" + id + "/messages/devicebound/#"}, s.filters...)
	for _, filter := range []string{"c2d", "methods", "twin"} {
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
			return l.Event == "connected" && l.at.After(begin)
		})
	}
}

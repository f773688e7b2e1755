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
	for id, sig := range map[string]syscall.Signal{"polite": syscall.SIGTERM, "forced": syscall.SIGKILL} {
		who := g.create(id)
		want := append([]string{"devices/" + id + "/messages/devicebound/#"}, s.filters...)
		d := s.start(t)
		subscribeAll(d, s, s.open(g, id, who.ConnectionString, nil))
		before := g.presence(id, "session with all filters", func(p session) bool {
			return p.Connected && p.has(want...)
		})
		// The PUBACK comes after the SUBACKs. A connection that is reset before those
		// makes Node's SDK give up and Java's wait for half a minute.
		d.do("send", "a", args{"message": message{Body: []byte("ready"), MessageID: "1"}})
		begin := time.Now()
		g.restart(sig)
		after := g.presence(id, "new connection", func(p session) bool {
			return p.Connected && p.Connection != before.Connection
		})
		if !after.has(want...) {
			t.Errorf("after a restart by %v the session has %v, want %v", sig, after.Subscriptions, want)
		}
		d.await("report of the new connection", func(l line) bool {
			return l.Client == "a" && l.Event == "connected" && l.at.After(begin)
		})
	}
}

// subscribeAll opens client a and subscribes to everything a device can.
func subscribeAll(d *driver, s *sdk, how args) {
	d.t.Helper()
	filters := []string{"c2d", "methods", "twin"}
	if s.asksTwin {
		// While twins are not served, the gateway closes on the question. So it comes
		// from a client that goes away, and the session keeps what it subscribed.
		filters = filters[:2]
		how["noRetry"] = true
		d.do("open", "asks", how)
		d.do("subscribe", "asks", args{"filter": "twin"})
		d.await("end of the question for the twin", func(l line) bool {
			return l.Client == "asks" && (l.Event == "twin" || l.Event == "disconnected")
		})
		d.do("close", "asks", nil)
		delete(how, "noRetry")
	}
	how["noTwinRequest"] = true // which Python would make after a reconnection
	d.do("open", "a", how)
	for _, filter := range filters {
		d.do("subscribe", "a", args{"filter": filter})
	}
}

package gateway

import (
	"strconv"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

// TestVisitors: who comes by HTTPS with bad credentials is refused for a while,
// he alone at his address, and the operator hears why.
func TestVisitors(t *testing.T) {
	w, d := watched(t, func(w *world) { w.Penalty = Penalty{Longest: time.Hour} })
	v := w.Visitors()
	bad := hub.Errorf(hub.Unauthorized, "the SAS token is old")
	for port := range clientBurst {
		if v.Refuses("127.0.0.1:"+strconv.Itoa(1000+port), "http policy p") {
			t.Fatalf("refused after %d tries", port)
		}
		v.Failed("127.0.0.1:"+strconv.Itoa(1000+port), "http policy p", bad)
	}
	if e := d.want(t, timeline.Refused, hub.Identity{}, hub.Unauthorized); e.Message != bad.Message {
		t.Errorf("the timeline says %q", e.Message)
	}
	if !v.Refuses("127.0.0.1:1", "http policy p") {
		t.Error("not refused after many tries")
	}
	if v.Refuses("127.0.0.1:1", "http policy q") || v.Refuses("192.0.2.1:1", "http policy p") {
		t.Error("somebody else is refused")
	}
	v.Welcome("127.0.0.1:1", "http policy p")
	if v.Refuses("127.0.0.1:1", "http policy p") {
		t.Error("refused after good credentials")
	}
	// Whoever tries many names is refused as an address, devices with him.
	for i := range 2 * addrBurst {
		v.Failed("192.0.2.1:1", "http policy "+strconv.Itoa(i), bad)
	}
	if !v.Refuses("192.0.2.1:2", "http policy new") || v.Refuses("192.0.2.2:2", "http policy new") {
		t.Error("not the address is refused, or another one")
	}
	if v.Refuses("not an address", "http") {
		t.Error("who has no address is refused")
	}
}

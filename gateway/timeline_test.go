package gateway

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

// diary is a timeline in memory.
type diary struct {
	mu      sync.Mutex
	entries []timeline.Entry
	more    chan struct{}
}

func (d *diary) Append(e timeline.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, e)
	d.more <- struct{}{}
}

// watched is a server with a timeline.
func watched(t *testing.T, configure func(*world)) (*world, *diary) {
	t.Helper()
	d := &diary{more: make(chan struct{}, 1000)}
	r := timeline.NewRecorder(d, "n1")
	t.Cleanup(r.Close)
	return newWorld(t, func(w *world) {
		w.Timeline = r
		if configure != nil {
			configure(w)
		}
	}), d
}

// next waits for an entry.
func (d *diary) next(t *testing.T) timeline.Entry {
	t.Helper()
	select {
	case <-d.more:
	case <-time.After(patience):
		t.Fatal("no entry came")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[0]
	d.entries = d.entries[1:]
	return e
}

func (d *diary) want(t *testing.T, what timeline.What, id hub.Identity, code hub.Code) timeline.Entry {
	t.Helper()
	e := d.next(t)
	if e.What != what || e.ID != id || e.Code != code || e.Message == "" || !strings.HasPrefix(e.Remote, "127.0.0.1:") {
		t.Errorf("entry %+v, want %s of %q with %d, a sentence and the address", e, what, id, code)
	}
	return e
}

func TestRefusalsAreInTheTimeline(t *testing.T) {
	known := hub.Identity{Device: "known"}
	w, d := watched(t, func(w *world) {
		w.face.known = map[string]hub.Identity{"known": known}
		w.face.refuse = func(string) error { return hub.Errorf(hub.Unauthorized, "wrong key") }
	})
	for _, id := range []string{"known", "stran\x7fger"} {
		c := dial(t, w.addr)
		c.write(&mqtt.Connect{ClientID: []byte(id)})
		c.connack()
		c.closed()
	}
	d.want(t, timeline.Refused, known, hub.Unauthorized)
	if e := d.want(t, timeline.Refused, hub.Identity{}, hub.Unauthorized); e.Claimed != "known" {
		t.Errorf("at its address the device is called %q", e.Claimed)
	}
	if e := d.want(t, timeline.Refused, hub.Identity{}, hub.Unauthorized); e.Claimed != "stran\x7fger" {
		t.Errorf("the stranger is called %q", e.Claimed)
	}
	c := dial(t, w.addr)
	c.raw([]byte{0x16, 3, 1, 0, 200, 1, 0, 0, 100})
	c.closed()
	d.want(t, timeline.Refused, hub.Identity{}, hub.GenericBadRequest)
}

func TestEndsAreInTheTimeline(t *testing.T) {
	w, d := watched(t, nil)
	orderly := w.connect(t, "orderly")
	orderly.write(&mqtt.Disconnect{})
	orderly.closed()
	old := w.connect(t, "twice")
	w.connect(t, "twice")
	old.closed()
	d.want(t, timeline.Closed, hub.Identity{Device: "twice"}, hub.ConnectionReplaced)
	c := w.connect(t, "d1")
	c.write(&mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{Topic: []byte("forbidden/#")}}})
	next[*mqtt.Suback](c)
	d.want(t, timeline.SubscribeRefused, hub.Identity{Device: "d1"}, hub.ArgumentInvalid)
	_ = c.nc.Close()
	d.want(t, timeline.Closed, hub.Identity{Device: "d1"}, hub.ConnectionLost)
}

// Two clients with one id that take the connection from each other without
// pause leave a few lines in the log, not thousands.
func TestAFightIsOneLogLine(t *testing.T) {
	w, d := watched(t, nil)
	last := w.connect(t, "twice")
	for range 200 {
		c := w.connect(t, "twice")
		last.closed()
		last = c
	}
	d.want(t, timeline.Closed, hub.Identity{Device: "twice"}, hub.ConnectionReplaced)
	loud := 0
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, `"disconnected"`) && !strings.Contains(line, `"level":"debug"`) {
			loud++
		}
	}
	if loud != 1 {
		t.Errorf("%d lines above debug about 200 take-overs, want 1", loud)
	}
}

// A connection that lives on the grace for its token is told of, once.
func TestGraceIsInTheTimeline(t *testing.T) {
	w, d := watched(t, func(w *world) {
		w.face.stale, w.face.expires = time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	})
	c := w.connect(t, "d1")
	if e := d.want(t, timeline.TokenExpired, hub.Identity{Device: "d1"}, hub.Unauthorized); !strings.Contains(e.Message, w.face.expires.UTC().Format(time.RFC3339)) {
		t.Errorf("the entry does not say when the connection ends: %+v", e)
	}
	_ = c.nc.Close()
	d.want(t, timeline.Closed, hub.Identity{Device: "d1"}, hub.ConnectionLost)
}

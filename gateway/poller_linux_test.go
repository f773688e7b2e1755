//go:build !nopoller

package gateway

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// TestNobodyWaits: connections that idle have no goroutine, by TLS neither.
func TestNobodyWaits(t *testing.T) {
	server, roots := selfSigned(t)
	roots.ServerName = "127.0.0.1"
	w := newWorld(t, func(w *world) { w.TLS = server })
	addr := listenTLS(t, w)
	const each = 200
	before := runtime.NumGoroutine()
	for i := range each {
		for _, c := range []*client{w.connect(t, "plain"+strconv.Itoa(i)), dialSecure(t, addr, roots, "secure"+strconv.Itoa(i))} {
			c.write(&mqtt.Pingreq{})
			next[*mqtt.Pingresp](c)
		}
	}
	eventually(t, "the goroutines to go", func() bool { return runtime.NumGoroutine()-before < each/4 })
}

// TestPlacesAreFree: a place in the poller is another connection's after the end.
func TestPlacesAreFree(t *testing.T) {
	w := newWorld(t, nil)
	for range 100 {
		c := w.connect(t, "d1")
		w.event(t)
		c.write(&mqtt.Disconnect{})
		c.closed()
		w.event(t)
	}
	p := w.pollers.poller
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.conns); n > 5 {
		t.Errorf("%d places were taken for one connection at a time", n)
	}
}

// TestWithoutWatches: connections are served when the kernel does not watch sockets.
func TestWithoutWatches(t *testing.T) {
	w := newWorld(t, nil)
	opened, err := openPoller()
	if err != nil {
		t.Fatal(err)
	}
	opened.close() // it takes nothing
	w.pollers.once.Do(func() { w.pollers.poller = opened })
	c := w.connect(t, "d1")
	c.publish(1, "message")
	next[*mqtt.Puback](c)
}

// TestAlarmOfABusyReader: a client that was silent only because nobody read is not cut,
// and is as soon as it is silent again.
func TestAlarmOfABusyReader(t *testing.T) {
	w := newWorld(t, nil)
	client := w.connect(t, "d1")
	w.event(t)
	c := w.live.get(hub.Identity{Device: "d1"})
	passed := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.readArmed = c.readArmed.Add(-2 * c.silence)
	}
	eventually(t, "the reader to rest", c.idles)
	passed()
	c.watch.alarm.Stop()
	c.watch.late.Store(true) // while the reader is busy
	client.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](client)
	eventually(t, "the reader to rest", c.idles)
	if c.watch.late.Load() || !c.watch.alarm.Stop() {
		t.Error("the alarm was not set again")
	}
	c.overdue() // too early, as its timer was set long ago
	if !c.watch.alarm.Stop() {
		t.Error("an alarm that came too early was not set again")
	}
	client.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](client)
	eventually(t, "the reader to rest", c.idles)
	passed()
	c.overdue()
	client.closed()
	if e := w.event(t); e.Code != hub.ConnectionLost {
		t.Errorf("event %+v, want ConnectionLost", e)
	}
}

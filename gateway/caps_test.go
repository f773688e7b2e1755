package gateway

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// A session has so many subscriptions and no more, in however few packets they
// come, and the count goes down again.
func TestSubscriptionsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	c := w.connect(t, "d")
	subscribe := func(from, n int) []byte {
		p := &mqtt.Subscribe{ID: 1}
		for i := from; i < from+n; i++ {
			p.Filters = append(p.Filters, mqtt.Filter{Topic: fmt.Append(nil, "f/", i), QoS: 1})
		}
		c.write(p)
		return append([]byte(nil), next[*mqtt.Suback](c).Codes...)
	}
	for i, code := range subscribe(0, 2*maxSubscriptions) {
		want := byte(1)
		if i >= maxSubscriptions {
			want = mqtt.SubackFailure
		}
		if code != want {
			t.Fatalf("filter %d: code %#x, want %#x", i, code, want)
		}
	}
	c.write(&mqtt.Unsubscribe{ID: 2, Filters: [][]byte{[]byte("f/0")}})
	next[*mqtt.Unsuback](c)
	if codes := subscribe(1000, 2); codes[0] != 1 || codes[1] != mqtt.SubackFailure {
		t.Errorf("after one was given up: %v", codes)
	}
}

// A client that does not read is cut when so much waits for it, however much
// time it has.
func TestOutputIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, func(w *world) { w.Limits.WriteTimeout = time.Hour; w.Limits.Memory = -1 })
		c := w.piped(t, "d", 0)
		w.event(t)
		link, sent := w.live.get(hub.Identity{Device: "d"}), 0
		for sent < 10*maxOutput {
			sent += 100 << 10 // the last one counts: it is the one too much
			if _, err := link.Send(Message{Topic: "t", Payload: make([]byte, 100<<10)}); err != nil {
				break
			}
		}
		if e := w.event(t); e.Code != hub.ConnectionLost || sent < maxOutput || sent > 3*maxOutput {
			t.Errorf("ended with %d %q after %d bytes", e.Code, e.Reason, sent)
		}
		go c.hungUp()
		w.close(t)
	})
}

// A CONNECT may be large, and not larger.
func TestConnectIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	for size, want := range map[int]bool{maxConnect - 100: true, maxConnect + 100: false} {
		c := dial(t, w.addr)
		name := make([]byte, size)
		for i := range name {
			name[i] = 'x'
		}
		// The peer may be gone before it has sent all.
		b, err := (&mqtt.Connect{ClientID: []byte("d"), HasPassword: true, HasUsername: true, Password: name}).Append(nil, mqtt.V311)
		if size > 65535 {
			b, err = append([]byte{0x10, 0xFF, 0xFF, 0x7F}, make([]byte, 100)...), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.nc.Write(b)
		if p, err := c.read(); (err == nil) != want {
			t.Errorf("%d bytes: %v, %v", size, p, err)
		}
	}
}

package gateway

import (
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
)

// ending is the end of a span, by the payload of its message.
type ending struct {
	payload string
	err     error
}

// is reports whether it is that of a payload, with a code.
func (e ending) is(payload string, code hub.Code) bool {
	return e.payload == payload && (e.err == nil) == (code == 0) && (code == 0 || hub.CodeOf(e.err) == code)
}

// endings gets the ends of spans, in order.
type endings chan ending

type page struct {
	to      endings
	payload string
}

func (p page) End(o span.Outcome) { p.to <- ending{p.payload, o.Err} }

// expect waits for the next end of a span.
func (e endings) expect(t *testing.T, payload string, code hub.Code) {
	t.Helper()
	select {
	case got := <-e:
		if !got.is(payload, code) {
			t.Errorf("the span of %q has ended with %v, want that of %q with the code %d", got.payload, got.err, payload, code)
		}
	case <-time.After(patience):
		t.Fatalf("the span of %q does not end", payload)
	}
}

// expectBoth waits for the next two ends, in whatever order.
func (e endings) expectBoth(t *testing.T, payloads [2]string, codes [2]hub.Code) {
	t.Helper()
	for range 2 {
		select {
		case got := <-e:
			if !got.is(payloads[0], codes[0]) && !got.is(payloads[1], codes[1]) {
				t.Errorf("the span of %q has ended with %v, want %q with the codes %d", got.payload, got.err, payloads, codes)
			}
		case <-time.After(patience):
			t.Fatalf("the spans of %q do not end", payloads)
		}
	}
}

// none fails if a span has ended.
func (e endings) none(t *testing.T) {
	t.Helper()
	select {
	case got := <-e:
		t.Errorf("the span of %q has ended with %v", got.payload, got.err)
	default:
	}
}

// tracedWorld is a world whose messages are held, with their spans; publish sends
// messages and waits until they are there.
func tracedWorld(t *testing.T) (w *world, spans endings, publish func(c *client, qos byte, payloads ...string) []receipt) {
	t.Helper()
	spans = make(endings, 100)
	w = newWorld(t, nil)
	w.handler.hold = true
	w.handler.trace = func(payload string) span.Span { return page{spans, payload} }
	return w, spans, func(c *client, qos byte, payloads ...string) []receipt {
		t.Helper()
		for i, payload := range payloads {
			c.publish(uint16(qos)*uint16(i+1), payload)
			<-w.handler.came
		}
		w.handler.mu.Lock()
		defer w.handler.mu.Unlock()
		return w.handler.held
	}
}

// TestSpanEndsWithPuback: a span ends when the PUBACK is ready, not when the message
// is stored.
func TestSpanEndsWithPuback(t *testing.T) {
	w, spans, publish := tracedWorld(t)
	held := publish(w.connect(t, "d1"), 1, "a", "b", "c")
	held[1].done.Stored(held[1].tag, nil)
	spans.none(t)
	held[0].done.Stored(held[0].tag, nil)
	spans.expect(t, "a", 0)
	spans.expect(t, "b", 0)
	spans.none(t)
	held[2].done.Stored(held[2].tag, nil)
	spans.expect(t, "c", 0)
}

// TestSpanOfFailedStore: what is not stored ends its span with the reason, and what
// is stored behind it, which nobody acknowledges, with that.
func TestSpanOfFailedStore(t *testing.T) {
	w, spans, publish := tracedWorld(t)
	c := w.connect(t, "d1")
	held := publish(c, 1, "a", "b", "c")
	held[1].done.Stored(held[1].tag, nil)
	held[0].done.Stored(held[0].tag, hub.Errorf(hub.MessageTooLarge, "too large"))
	c.closed()
	spans.expectBoth(t, [2]string{"a", "b"}, [2]hub.Code{hub.MessageTooLarge, hub.ConnectionLost})
	held[2].done.Stored(held[2].tag, nil)
	spans.expect(t, "c", hub.ConnectionLost)
}

// TestSpanOutlivesConnection: a message that is on its way when its connection ends
// is traced until it has arrived. With QoS 0 that is all that was wanted.
func TestSpanOutlivesConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		qos  byte
		want hub.Code
	}{"QoS 0": {0, 0}, "QoS 1": {1, hub.ConnectionLost}} {
		t.Run(name, func(t *testing.T) {
			w, spans, publish := tracedWorld(t)
			c := w.connect(t, "d1")
			w.event(t)
			held := publish(c, tt.qos, "a", "b")
			c.write(&mqtt.Disconnect{})
			w.event(t) // the connection has ended
			spans.none(t)
			held[1].done.Stored(held[1].tag, nil)
			held[0].done.Stored(held[0].tag, nil)
			spans.expect(t, "b", tt.want)
			spans.expect(t, "a", tt.want)
			spans.none(t)
		})
	}
}

// TestCameIsTheRead: spans begin when the packet was read.
func TestCameIsTheRead(t *testing.T) {
	s := &Server{}
	s.init()
	s.counts.began = time.Now().Add(-time.Hour)
	c := &conn{srv: s}
	c.came = s.ticks() - uint32(time.Minute/time.Microsecond)
	if ago := time.Since(c.Came()); ago < time.Minute || ago > 2*time.Minute {
		t.Errorf("a packet that was read a minute ago came %v ago", ago)
	}
}

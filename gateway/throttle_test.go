package gateway

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/timeline"
)

// book is a timeline.Store in memory.
type book struct {
	mu      sync.Mutex
	entries []timeline.Entry
}

func (b *book) Append(e timeline.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e)
}

func (b *book) all() []timeline.Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]timeline.Entry(nil), b.entries...)
}

func messages(from, n int, qos byte) []mqtt.Packet {
	var packets []mqtt.Packet
	for i := from; i < from+n; i++ {
		packets = append(packets, &mqtt.Publish{QoS: qos, ID: uint16(i) * uint16(qos), Topic: []byte("t"), Payload: fmt.Append(nil, i)})
	}
	return packets
}

func encoded(t *testing.T, packets ...mqtt.Packet) (b []byte) {
	t.Helper()
	for _, p := range packets {
		var err error
		if b, err = p.Append(b, mqtt.V311); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// A device that sends too much is read more slowly, and not cut for its silence,
// which is not its own. Meanwhile its acknowledgements go out.
func TestThrottledDeviceIsReadMoreSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		w := newBubble(t, func(w *world) {
			w.Limiter = NewLimiter(deviceRate(Messages, 10))
			w.Timeline = timeline.NewRecorder(&b, "n1")
			w.handler.hold = true
		})
		c := w.piped(t, "d", 1)
		_ = c.nc.SetDeadline(time.Time{})
		begin := time.Now()
		c.write(messages(1, 50, 1)...)
		synctest.Wait()
		if n := len(w.handler.came); n != 50 {
			t.Fatalf("%d messages were handled, want all that one read had", n)
		}
		more := encoded(t, append(messages(51, 1, 1), &mqtt.Pingreq{})...)
		go func() { _, _ = c.nc.Write(more) }()
		<-time.After(2 * time.Second) // longer than the keep-alive allows
		w.release(1)
		if ack := next[*mqtt.Puback](c); ack.ID != 1 || time.Since(begin) != 2*time.Second {
			t.Errorf("PUBACK %d after %v: the writer waited for the reader", ack.ID, time.Since(begin))
		}
		next[*mqtt.Pingresp](c)
		if took := time.Since(begin); took != 4*time.Second { // 50 take 5 s, of which 1 s may come at once
			t.Errorf("the next packet was read after %v, want 4 s", took)
		}
		synctest.Wait()
		got := b.all()
		if len(got) != 2 || got[0].What != timeline.Throttled || got[0].Code != hub.Throttled || got[0].ID.Device != "d" {
			t.Errorf("the timeline has %+v", got)
		}
		if n := w.Limiter.Counts().Slowed["messages"]; n != 2 {
			t.Errorf("%d pauses are counted", n)
		}
		w.release(w.held())
		go c.hungUp()
		w.close(t)
		w.Timeline.Close()
	})
}

func TestBatch(t *testing.T) {
	t.Parallel()
	publish := func(topic string, qos byte) mqtt.Packet { return &mqtt.Publish{Topic: []byte(topic), QoS: qos} }
	var b batch
	for i, p := range []mqtt.Packet{publish("t", 0), publish("t", 1), publish("", 1), publish("$t", 0), publish("$", 1), &mqtt.Pingreq{}} {
		b.add(p, 10+i)
	}
	if want := (batch{messages: 3, unacked: 1, requests: 2, bytes: 75}); b != want {
		t.Errorf("got %+v, want %+v", b, want)
	}
}

// A client that waits for PUBACKs obeys. One that presses sends half of its messages
// or more without any.
func TestManner(t *testing.T) {
	t.Parallel()
	for b, want := range map[batch]Manner{
		{}: Obeys, {requests: 9, bytes: 9}: Obeys, {messages: 1}: Obeys, {messages: 3, unacked: 1}: Obeys,
		{messages: 1, unacked: 1}: Presses, {messages: 2, unacked: 1}: Presses, {messages: 3, unacked: 2}: Presses,
	} {
		if got := b.manner(); got != want {
			t.Errorf("%+v: %v, want %v", b, got, want)
		}
	}
}

// Of two limits the one with the longer pause counts, and each counts alone.
func TestPauseOfTwoLimits(t *testing.T) {
	batch := messages(1, 50, 1)
	size := float64(len(encoded(t, batch...)))
	for name, tc := range map[string]struct {
		messages, bytes float64 // a second
		want            time.Duration
	}{
		"messages alone":  {10, 0, 4 * time.Second},
		"bytes alone":     {0, size / 9, 8 * time.Second},
		"bytes longer":    {10, size / 9, 8 * time.Second},
		"messages longer": {10, size / 3, 4 * time.Second},
		"bytes are free":  {10, size * 2, 4 * time.Second},
		"both are":        {100, size * 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, func(w *world) {
					r := deviceRate(Messages, tc.messages)
					r.Device[Bytes] = tc.bytes
					w.Limiter = NewLimiter(r)
				})
				c := w.piped(t, "d", 0)
				_ = c.nc.SetDeadline(time.Time{})
				<-time.After(time.Minute) // what CONNECT has cost is made up for
				begin := time.Now()
				c.write(batch...)
				for range batch {
					next[*mqtt.Puback](c)
				}
				c.write(&mqtt.Pingreq{})
				next[*mqtt.Pingresp](c)
				if took := time.Since(begin); took.Round(100*time.Millisecond) != tc.want {
					t.Errorf("the next packet was read after %v, want %v", took, tc.want)
				}
				go c.hungUp()
				w.close(t)
			})
		})
	}
}

// What a request of the hub costs is not for the limit of messages.
func TestRequestsAreNoMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, func(w *world) { w.Limiter = NewLimiter(deviceRate(Messages, 1)) })
		c := w.piped(t, "d", 60)
		begin := time.Now()
		for range 100 {
			c.write(&mqtt.Publish{Topic: []byte("$iothub/x"), Payload: []byte("x")})
			synctest.Wait()
		}
		c.write(&mqtt.Pingreq{})
		next[*mqtt.Pingresp](c)
		if took := time.Since(begin); took != 0 {
			t.Errorf("requests took %v", took)
		}
		go c.hungUp()
		w.close(t)
	})
}

// The end of a connection does not wait for a pause.
func TestPauseEndsWithTheConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(w *world)
		code hub.Code
	}{
		"shutdown": {func(*world) {}, hub.ServiceUnavailable},
		"replaced": {func(w *world) {
			w.Displaced(session.Claim{ID: hub.Identity{Device: "d"}, Epoch: 1000, Connection: "c"})
		}, hub.ConnectionReplaced},
		"token": {func(*world) { <-time.After(11 * time.Second) }, hub.Unauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, func(w *world) {
					w.Limiter = NewLimiter(deviceRate(Messages, 0.01))
					if name == "token" {
						w.face.expires = time.Now().Add(10 * time.Second)
					}
				})
				c := w.piped(t, "d", 0)
				w.event(t)
				begin := time.Now()
				c.write(messages(1, 50, 0)...)
				synctest.Wait()
				go c.hungUp()
				tc.end(w)
				w.close(t)
				if e := w.event(t); e.Code != tc.code || time.Since(begin) > 11*time.Second {
					t.Errorf("it ended after %v by %d %q, want %d", time.Since(begin), e.Code, e.Reason, tc.code)
				}
			})
		})
	}
}

// A flood of messages that nobody acknowledges is cut in the end, with its code.
func TestFloodIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deviceRate(Messages, 10)
		r.AbuseAfter = 5 * time.Second
		w := newBubble(t, func(w *world) { w.Limiter = NewLimiter(r) })
		c := w.piped(t, "d", 0)
		w.event(t)
		_ = c.nc.SetDeadline(time.Time{})
		begin := time.Now()
		go c.hungUp()
		go func() {
			for i := 1; ; i += 100 {
				var out []byte
				for _, m := range messages(i, 100, 0) {
					out, _ = m.Append(out, mqtt.V311)
				}
				if _, err := c.nc.Write(out); err != nil {
					return
				}
				for len(w.handler.came) > 0 {
					<-w.handler.came
				}
			}
		}()
		e := w.event(t)
		if e.Code != hub.Throttled || time.Since(begin) < 5*time.Second {
			t.Errorf("ended by %d %q after %v", e.Code, e.Reason, time.Since(begin))
		}
		if w.Limiter.Counts().Cut != 1 {
			t.Error("it is not counted")
		}
		w.close(t)
	})
}

package gateway

import (
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// TestCountingIsFree counts a message with its PUBACK as the reader and the store do
// it: without an allocation.
func TestCountingIsFree(t *testing.T) {
	s := &Server{}
	s.init()
	c := &conn{srv: s}
	p := &mqtt.Publish{QoS: 1, ID: 7, Topic: []byte("devices/d/messages/events/")}
	out := make([]byte, 0, 64)
	got := testing.AllocsPerRun(1000, func() {
		var b batch
		b.add(p, 100)
		c.came = s.ticks()
		tag, err := c.reserve(p, 100)
		if err != nil {
			t.Fatal(err)
		}
		s.counts.read(b)
		oldest := c.pending.head
		out = c.pending.stored(tag, out[:0])
		c.acknowledged(oldest)
	})
	if got != 0 {
		t.Errorf("%v allocations for a message", got)
	}
	stats := s.Stats()
	if stats.Messages != 1001 || stats.Requests != 0 || stats.BytesIn != 100100 || stats.Puback.Count != 1001 {
		t.Errorf("%d messages, %d requests, %d bytes, %d PUBACKs", stats.Messages, stats.Requests, stats.BytesIn, stats.Puback.Count)
	}
}

// TestPubackIsTimed counts PUBACKs of messages with QoS 1, from the read to the
// release, in whatever order they are stored; requests and QoS 0 are not counted.
func TestPubackIsTimed(t *testing.T) {
	s := &Server{}
	s.init()
	s.counts.began = time.Now().Add(-time.Hour)
	c := &conn{srv: s}
	send := func(qos byte, topic string, ago time.Duration) uint64 {
		c.came = s.ticks() - uint32(ago/time.Microsecond)
		p := &mqtt.Publish{QoS: qos, Topic: []byte(topic)}
		if qos > 0 {
			p.ID = 1
		}
		tag, err := c.reserve(p, 10)
		if err != nil {
			t.Fatal(err)
		}
		return tag
	}
	tags := []uint64{
		send(1, "devices/d/messages/events/", time.Minute), send(0, "devices/d/messages/events/", 0),
		send(1, "$iothub/twin/GET/?$rid=1", 0), send(1, "devices/d/messages/events/", 0),
	}
	for _, tag := range []uint64{tags[3], tags[2], tags[1]} {
		oldest := c.pending.head
		c.pending.stored(tag, nil)
		c.acknowledged(oldest)
	}
	if n := s.Stats().Puback.Count; n != 0 {
		t.Fatalf("%d PUBACKs are counted that wait for an earlier one", n)
	}
	oldest := c.pending.head
	c.pending.stored(tags[0], nil)
	c.acknowledged(oldest)
	got := s.Stats().Puback
	if got.Count != 2 || got.Upto[30] != 1 || got.Upto[120] != 2 {
		t.Errorf("%+v", got)
	}
}

// A clock that starts again after 71 minutes still tells durations.
func TestTicksGoRound(t *testing.T) {
	s := &Server{}
	s.init()
	c := &conn{srv: s}
	before := ^uint32(0) - 1000
	s.counts.began = time.Now().Add(-time.Duration(1<<32) * time.Microsecond) // now is about 0
	c.came = before
	tag, err := c.reserve(&mqtt.Publish{QoS: 1, ID: 1, Topic: []byte("t")}, 1)
	if err != nil {
		t.Fatal(err)
	}
	oldest := c.pending.head
	c.pending.stored(tag, nil)
	c.acknowledged(oldest)
	if got := s.Stats().Puback; got.Upto[60] != 1 {
		t.Errorf("%+v", got)
	}
}

func TestStatsOfTransports(t *testing.T) {
	s := &Server{}
	stats := s.Stats()
	for _, name := range []string{"tcp", "tls", "websocket"} {
		if _, known := stats.Connected[name]; !known {
			t.Errorf("connections by %s are not counted", name)
		}
		c := &conn{peer: origin{Transport: name}}
		s.counts.begun(c)
		if got := s.Stats(); got.Connected[name] != 1 || got.Admitted[name] != 1 {
			t.Errorf("%s: %v, %v", name, got.Connected, got.Admitted)
		}
		s.counts.left(c)
		if got := s.Stats(); got.Connected[name] != 0 || got.Admitted[name] != 1 {
			t.Errorf("%s after its end: %v, %v", name, got.Connected, got.Admitted)
		}
	}
	if stats.Accepting || len(stats.Refused) < 50 || stats.Refused[hub.Unauthorized] != 0 {
		t.Errorf("a server that has not begun: %+v", stats)
	}
}

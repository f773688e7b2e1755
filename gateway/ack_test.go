package gateway

import (
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// bare is a connection without a client.
func bare(configure func(*Server)) *conn {
	s := &Server{Limits: Limits{Window: 3, WindowBytes: 100}}
	if configure != nil {
		configure(s)
	}
	return &conn{srv: s}
}

// free reports whether nobody has the connection's lock.
func (c *conn) free() bool {
	if !c.mu.TryLock() {
		return false
	}
	c.mu.Unlock()
	return true
}

// A packet has room if nothing else is pending, or if it fits into all that is bounded.
func TestRoomOfAWindow(t *testing.T) {
	t.Parallel()
	room := func(places int) func(*Server) {
		return func(s *Server) { s.Room = func(hub.Identity) int { return places } }
	}
	tight := func(s *Server) {
		s.memory.limit.Store(100)
		s.memory.used.Store(76)
	}
	for name, tc := range map[string]struct {
		configure func(*Server)
		pending   []int // sizes
		size      int
		want      bool
	}{
		"nothing pending":        {nil, nil, 10, true},
		"larger than all":        {nil, nil, 1000, true},
		"alone, no place":        {room(0), nil, 10, true},
		"alone, tight":           {tight, nil, 10, true},
		"second":                 {nil, []int{10}, 10, true},
		"second, tight":          {tight, []int{10}, 10, false},
		"last of the packets":    {nil, []int{10, 10}, 10, true},
		"too many packets":       {nil, []int{10, 10, 10}, 10, false},
		"last of the bytes":      {nil, []int{40}, 60, true},
		"too many bytes":         {nil, []int{40}, 61, false},
		"within its share":       {room(2 * roomShare), []int{10}, 10, true},
		"beyond its share":       {room(2*roomShare - 1), []int{10}, 10, false},
		"two within its share":   {room(3 * roomShare), []int{10, 10}, 10, true},
		"three beyond its share": {room(2 * roomShare), []int{10, 10}, 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := bare(tc.configure)
			for _, size := range tc.pending {
				c.pending.push(1, size)
			}
			if got := c.hasRoom(tc.size); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			_, err := c.reserve(&mqtt.Publish{ID: 1, Topic: []byte("t")}, tc.size)
			if (err == nil) != tc.want || err != nil && c.halt.wanted != tc.size || !c.free() {
				t.Errorf("reserve: %v, for %d bytes", err, c.halt.wanted)
			}
			if !tc.want && !c.halts() { // who has room does not ask
				t.Error("a reader who has no room goes on")
			}
		})
	}
}

// What is taken back is as if it had not come.
func TestForgottenReservation(t *testing.T) {
	t.Parallel()
	c := bare(nil)
	for range 5 {
		tag, err := c.reserve(&mqtt.Publish{ID: 1, Topic: []byte("t")}, 100)
		if err != nil || tag != 0 {
			t.Fatalf("tag %d, %v", tag, err)
		}
		if c.forget(); !c.free() || c.pending.len() != 0 || c.pending.bytes != 0 {
			t.Fatalf("%d packets with %d bytes are pending", c.pending.len(), c.pending.bytes)
		}
	}
}

// Only what is acknowledged has a time that is worth counting, and a request waits for
// its answer.
func TestWhatIsTimed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		p    mqtt.Publish
		want bool
	}{
		{mqtt.Publish{ID: 1, Topic: []byte("t")}, true},
		{mqtt.Publish{Topic: []byte("t")}, false},
		{mqtt.Publish{ID: 1, Topic: []byte("$t")}, false},
		{mqtt.Publish{Topic: []byte("$t")}, false},
	} {
		c := bare(nil)
		tag, err := c.reserve(&tc.p, 1)
		if err != nil || c.pending.at(tag).timed != tc.want {
			t.Errorf("id %d, topic %s: %v, %v", tc.p.ID, tc.p.Topic, c.pending.at(tag).timed, err)
		}
	}
}

// After a message that could not be stored nobody waits for acknowledgements, and
// nothing is taken any more.
func TestLostMessageEndsAll(t *testing.T) {
	t.Parallel()
	c := bare(nil)
	tag, err := c.reserve(&mqtt.Publish{ID: 1, Topic: []byte("t")}, 1)
	if err != nil {
		t.Fatal(err)
	}
	lost := hub.Errorf(hub.ServiceUnavailable, "the store is away")
	c.Stored(tag, lost)
	if !c.lost || !same(c.ended(), lost) || !c.free() {
		t.Errorf("lost %v, ended by %v", c.lost, c.ended())
	}
	if _, err := c.reserve(&mqtt.Publish{ID: 2, Topic: []byte("t")}, 1); !same(err, lost) || c.pending.len() != 1 {
		t.Errorf("another one: %v", err)
	}
}

// What yields is refused when half of what may wait does, and what does not, is not.
func TestQueueOfOutput(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		waiting, most int
		cause         error
		code          hub.Code
	}{
		"nothing waits":     {0, maxOffered, nil, 0},
		"half waits":        {maxOffered, maxOffered, nil, 0},
		"more than half":    {maxOffered + 1, maxOffered, nil, hub.QuotaExceeded},
		"does not yield":    {maxOffered + 1, maxOutput, nil, 0},
		"up to the last":    {maxOutput - 1, maxOutput, nil, 0},
		"one byte too many": {maxOutput, maxOutput, nil, hub.CodeOf(errSlowReader)},
		"has ended":         {0, maxOffered, errShutdown, hub.CodeOf(errShutdown)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := bare(nil)
			c.out, c.cause, c.writing = make([]byte, tc.waiting), tc.cause, true // who writes is at it
			err := c.queue([]byte("x"), tc.most)
			if hub.CodeOf(err) != tc.code || !c.free() {
				t.Errorf("got %v, want %d", err, tc.code)
			}
			if isSlow := name == "one byte too many"; isSlow != same(c.cause, errSlowReader) {
				t.Errorf("the connection ends by %v", c.cause)
			}
			if want := tc.waiting + 1; tc.code == 0 && len(c.out) != want {
				t.Errorf("%d bytes wait, want %d", len(c.out), want)
			}
		})
	}
}

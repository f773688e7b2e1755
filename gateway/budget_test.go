package gateway

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// unfinished is most of a PUBLISH with so many bytes.
func unfinished(t *testing.T, size int) []byte {
	t.Helper()
	b, err := (&mqtt.Publish{Topic: []byte("t"), Payload: make([]byte, size)}).Append(nil, mqtt.V311)
	if err != nil {
		t.Fatal(err)
	}
	return b[:len(b)-1]
}

// When unfinished packets take too much, the connection goes that holds most,
// and the others stay.
func TestHungriestIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, func(w *world) { w.Limits.Memory = 512 << 10 })
		small := w.piped(t, "small", 0)
		small.raw(unfinished(t, 20<<10))
		hungry := w.piped(t, "hungry", 0)
		hungry.raw(unfinished(t, 200<<10))
		synctest.Wait()
		if used := w.memory.used.Load(); used < 220<<10 {
			t.Errorf("%d bytes are counted", used)
		}
		last := w.piped(t, "last", 0)
		go hungry.hungUp()
		go last.hungUp()
		_, _ = last.nc.Write(unfinished(t, 190<<10)) // it may be the one to go
		synctest.Wait()
		for range 3 {
			w.event(t)
		}
		e := w.event(t)
		if e.ID.Device == "small" || e.Code != hub.Throttled {
			t.Errorf("%s ended with %d %q", e.ID, e.Code, e.Reason)
		}
		if w.memory.cut.Load() != 1 || w.memory.used.Load() > 512<<10 {
			t.Errorf("%d were cut, %d bytes are counted", w.memory.cut.Load(), w.memory.used.Load())
		}
		small.raw([]byte{0}) // and is done
		small.write(&mqtt.Pingreq{})
		next[*mqtt.Pingresp](small)
		go small.hungUp()
		w.close(t)
		synctest.Wait() // for the writers
		if used, going := w.memory.used.Load(), w.memory.going.Load(); used != 0 || going != 0 {
			t.Errorf("%d bytes are counted in the end, %d of them as going", used, going)
		}
	})
}

// Output that nobody reads counts too.
func TestUnreadOutputCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, func(w *world) { w.Limits.Memory = 256 << 10; w.Limits.WriteTimeout = time.Hour })
		deaf := w.piped(t, "deaf", 0)
		other := w.piped(t, "other", 0)
		w.event(t)
		w.event(t)
		link := w.live.get(hub.Identity{Device: "deaf"})
		var err error
		sent := 0
		for ; err == nil && sent < 100; sent++ {
			_, err = link.Send(Message{Topic: "t", Payload: make([]byte, 10<<10)})
		}
		if err == nil {
			t.Fatal("the output grew without end")
		}
		if e := w.event(t); e.ID.Device != "deaf" || e.Code != hub.Throttled || sent > 40 {
			t.Errorf("%s ended with %d %q after %d messages", e.ID, e.Code, e.Reason, sent)
		}
		other.write(&mqtt.Pingreq{})
		next[*mqtt.Pingresp](other)
		go deaf.hungUp()
		go other.hungUp()
		w.close(t)
		synctest.Wait() // for the writers
		if used, going := w.memory.used.Load(), w.memory.going.Load(); used != 0 || going != 0 {
			t.Errorf("%d bytes are counted in the end, %d of them as going", used, going)
		}
	})
}

// What peers hold before CONNECT counts, and is what is refused first.
func TestLargeConnectsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, func(w *world) { w.Limits.Memory = 150 << 10 })
		good := w.piped(t, "good", 0)
		b, err := (&mqtt.Connect{ClientID: []byte("x"), Username: bytes.Repeat([]byte("x"), 60000), HasUsername: true}).Append(nil, mqtt.V311)
		if err != nil {
			t.Fatal(err)
		}
		var peers []*client
		for range 4 {
			c := pipedRaw(t, w)
			_, _ = c.nc.Write(b[:50000])
			peers = append(peers, c)
		}
		synctest.Wait()
		if w.Refused() == 0 {
			t.Error("nobody was refused")
		}
		good.write(&mqtt.Pingreq{})
		next[*mqtt.Pingresp](good)
		for _, c := range peers {
			_ = c.nc.Close()
		}
		go good.hungUp()
		w.close(t)
		synctest.Wait()
		if used := w.memory.used.Load(); used != 0 {
			t.Errorf("%d bytes are counted in the end", used)
		}
	})
}

// While memory is tight each connection has one message in flight.
func TestTightMemoryNarrowsTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, func(w *world) { w.Limits.Memory = 300 << 10; w.handler.hold = true })
		w.memory.used.Add(250 << 10)
		c := w.piped(t, "d", 0)
		three := encoded(t, messages(1, 3, 1)...)
		go func() { _, _ = c.nc.Write(three) }()
		for i := range 3 {
			synctest.Wait()
			if n := len(w.handler.held); n != i+1 {
				t.Errorf("%d messages are in flight after %d", n, i)
			}
			r := w.handler.held[i]
			r.done.Stored(r.tag, nil)
			next[*mqtt.Puback](c)
		}
		go c.hungUp()
		w.close(t)
	})
}

// Memory is exceeded above the limit, without what is about to be free, and tight when
// a quarter of it is left.
func TestBudget(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		limit, used, going int64
		exceeded, tight    bool
	}{
		{0, 1 << 40, 0, false, false},
		{1, 1, 0, false, false},
		{1, 2, 0, true, true},
		{100, 75, 0, false, false},
		{100, 76, 0, false, true},
		{100, 100, 0, false, true},
		{100, 101, 0, true, true},
		{100, 110, 10, false, true},
		{100, 111, 10, true, true},
	} {
		var b budget
		b.limit.Store(tc.limit)
		b.used.Store(tc.used)
		b.going.Store(tc.going)
		if b.exceeded() != tc.exceeded || b.tight() != tc.tight {
			t.Errorf("%+v: exceeded %v, tight %v", tc, b.exceeded(), b.tight())
		}
	}
}

// What a buffer has anyway is not counted before CONNECT, and nothing twice.
func TestGrowHandshake(t *testing.T) {
	t.Parallel()
	var s Server
	s.memory.limit.Store(100_000)
	var held int64
	for _, tc := range []struct {
		size int
		used int64
		code hub.Code
	}{
		{readBufferSize, 0, 0},
		{readBufferSize + 1, readBufferSize + 1, 0},
		{50_000, 50_000, 0},
		{40_000, 50_000, 0},
		{100_000, 100_000, 0},
		{100_001, 100_001, hub.Throttled},
	} {
		err := s.growHandshake(&held, &inbox{buf: make([]byte, 0, tc.size)})
		if hub.CodeOf(err) != tc.code || s.memory.used.Load() != tc.used || held != tc.used {
			t.Errorf("a buffer of %d bytes: %v, %d are counted, %d of this peer", tc.size, err, s.memory.used.Load(), held)
		}
	}
}

// Output counts as soon as it is long, as it grows, and no more when it is taken or
// the connection has ended.
func TestCountedOutput(t *testing.T) {
	t.Parallel()
	s := &Server{}
	s.memory.limit.Store(1 << 30)
	c := &conn{srv: s}
	for _, tc := range []struct {
		size int
		want int64
	}{{countedOutput - 1, 0}, {countedOutput, countedOutput}, {countedOutput + 5, countedOutput + 5}, {3 * countedOutput, 3 * countedOutput}} {
		c.out = make([]byte, tc.size)
		c.mu.Lock()
		grown := c.outputGrown()
		c.mu.Unlock()
		c.hold(grown)
		if got := s.memory.used.Load(); got != tc.want {
			t.Errorf("%d bytes of output count as %d, want %d", tc.size, got, tc.want)
		}
	}
	c.hold(-c.outputTaken())
	if got := s.memory.used.Load(); got != 0 || c.outputTaken() != 0 {
		t.Errorf("%d bytes are counted of what was taken", got)
	}
	c.hold(7)
	for range 2 {
		c.releaseMemory()
		c.hold(9) // by a writer who was stuck
	}
	if got := s.memory.used.Load(); got != 0 || !c.mu.TryLock() {
		t.Errorf("%d bytes are counted of who has ended, or the connection is locked", got)
	}
}

func TestMemoryHasADefault(t *testing.T) {
	for set, want := range map[int64]int64{0: 512 << 20, -1: 0, 7: 7} {
		s := &Server{Limits: Limits{Memory: set}}
		s.init()
		if got := s.memory.limit.Load(); got != want {
			t.Errorf("%d makes %d", set, got)
		}
	}
}

// TestCondemnedTooLate: of a connection that has ended nothing is to come free.
func TestCondemnedTooLate(t *testing.T) {
	w := newWorld(t, nil)
	c := w.connect(t, "d")
	w.event(t)
	c.raw(unfinished(t, 20<<10))
	eventually(t, "the packet to be counted", func() bool { return w.memory.used.Load() > 0 })
	worst, n := w.hungriest()
	_ = c.nc.Close()
	w.event(t)
	if worst.condemn(n) {
		t.Error("it was condemned")
	}
	if used, going := w.memory.used.Load(), w.memory.going.Load(); used != 0 || going != 0 {
		t.Errorf("%d bytes are counted without a connection, %d of them as going", used, going)
	}
}

package gateway

import (
	"bytes"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// halted reports whether the connection of a device waits for room, or for the end of a
// pause, and its reader has left, if it is watched.
func (w *world) halted(id string) bool {
	c := w.live.get(hub.Identity{Device: id})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halt.on
}

// readers is how many goroutines read watched connections.
func readers() int {
	stacks := make([]byte, 4<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("gateway.(*conn).turn("))
}

// TestHaltedHasNoReader: connections that wait for room in the store hold no goroutine,
// and lose nothing.
func TestHaltedHasNoReader(t *testing.T) {
	const devices, each = 50, 7
	w := newWorld(t, func(w *world) { w.Limits.Window = 2 })
	w.handler.hold = true
	var clients []*client
	for d := range devices {
		c := w.connect(t, "d"+strconv.Itoa(d))
		c.write(messages(1, each, 1)...)
		clients = append(clients, c)
	}
	eventually(t, "the end of all readers", func() bool {
		for d := range devices {
			if !w.halted("d" + strconv.Itoa(d)) {
				return false
			}
		}
		return readers() == 0
	})
	if n := w.Stats().WindowFull; n != devices {
		t.Errorf("%d times a window was full, want %d", n, devices)
	}
	w.hold(false)
	w.release(w.held())
	for d, c := range clients {
		for id := uint16(1); id <= each; id++ {
			if a := next[*mqtt.Puback](c); a.ID != id {
				t.Fatalf("device %d: PUBACK %d, want %d", d, a.ID, id)
			}
		}
	}
	eventually(t, "the count of messages", func() bool { return w.Stats().Messages >= devices*each })
	if n := w.Stats().Messages; n != devices*each {
		t.Errorf("%d messages were counted, want %d", n, devices*each)
	}
	if n := len(w.handler.came); n != devices*each {
		t.Errorf("%d messages were handled, want %d", n, devices*each)
	}
}

// TestEndOfTheHalted: a connection ends also while it waits for room, or for the end of a
// pause.
func TestEndOfTheHalted(t *testing.T) {
	for name, tc := range map[string]struct {
		configure func(*world)
		sent      int
	}{
		"for room": {func(w *world) { w.Limits.Window = 1 }, 2},
		"a pause":  {func(w *world) { w.Limiter = NewLimiter(deviceRate(Messages, 1)) }, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.configure)
			w.handler.hold = true
			c := w.connect(t, "d")
			w.event(t)
			c.write(messages(1, tc.sent, 1)...)
			eventually(t, "the end of the reader", func() bool { return w.halted("d") && readers() == 0 })
			began := time.Now()
			w.live.get(hub.Identity{Device: "d"}).stop(errReplaced)
			if e := w.event(t); e.Code != hub.ConnectionReplaced {
				t.Errorf("event %+v, want ConnectionReplaced", e)
			}
			c.closed()
			if took := time.Since(began); took > patience/2 {
				t.Errorf("it ended after %v", took)
			}
		})
	}
}

// TestEndStopsThePause: a timer would keep the connection until the pause were
// over.
func TestEndStopsThePause(t *testing.T) {
	w := newWorld(t, func(w *world) { w.Limiter = NewLimiter(deviceRate(Messages, 1)) })
	client := w.connect(t, "d")
	w.event(t)
	client.write(messages(1, 400, 0)...)
	c := w.live.get(hub.Identity{Device: "d"})
	eventually(t, "the pause", func() bool { // before, it may halt for room
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.halt.on && c.halt.resumeAt < 0
	})
	c.stop(errReplaced)
	if c.more().pause.Stop() {
		t.Error("the timer goes on")
	}
}

// TestNoHalt: who may go on when his part would end does not end it, for nobody would
// have him go on.
func TestNoHalt(t *testing.T) {
	w := newSocketWorld(t, false)
	stored, _ := w.connect(t)
	stored.halt.wanted = 1
	ended, _ := w.connect(t)
	ended.halt.pause = time.Hour
	ended.stop(errReplaced)
	for name, c := range map[string]*conn{"everything was stored": stored, "the connection has ended": ended} {
		if c.halts() {
			t.Errorf("%s, and it halts", name)
		}
	}
}

// TestHaltLasts: a pause does not end before its time when everything is stored, and who
// waits for room waits until half of what was pending is stored.
func TestHaltLasts(t *testing.T) {
	w := newSocketWorld(t, false)
	w.srv.Limits.Window = 4
	for name, tc := range map[string]struct {
		pause time.Duration
		want  string // whether it halts, after each message that is stored
	}{
		"a pause":  {time.Hour, "yyyy"},
		"for room": {0, "ynnn"},
	} {
		c, _ := w.connect(t)
		c.halt.pause, c.halt.wanted = tc.pause, 1
		for range 4 {
			c.pending.push(0, 1)
		}
		if !c.halts() {
			t.Errorf("%s: it does not halt", name)
		}
		got := ""
		for tag := range uint64(4) {
			c.Stored(tag, nil)
			if c.halt.on {
				got += "y"
			} else {
				got += "n"
			}
		}
		if got != tc.want {
			t.Errorf("%s: it halts %s, want %s", name, got, tc.want)
		}
	}
}

// TestPauseOver: a device that was throttled is read on, and waits for room as before.
func TestPauseOver(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.Limits.Window = 2
		w.Limiter = NewLimiter(deviceRate(Messages, 100))
	})
	c := w.connect(t, "d")
	c.write(messages(1, 120, 1)...)
	for range 120 {
		next[*mqtt.Puback](c)
	}
	c.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](c)
	w.Limiter.Set(Rates{})
	w.hold(true)
	before := w.Stats().WindowFull
	c.write(messages(1, 3, 1)...)
	eventually(t, "a halt", func() bool { return w.halted("d") })
	if n := w.Stats().WindowFull - before; n != 1 {
		t.Errorf("%d times the window was full, want 1", n)
	}
	w.hold(false)
	w.release(w.held())
	for range 3 {
		next[*mqtt.Puback](c)
	}
}

// TestCameWhenRead: what waits for room has come when it was read, and what follows
// CONNECT at once, too.
func TestCameWhenRead(t *testing.T) {
	w := newWorld(t, func(w *world) { w.Limits.Window = 1 })
	w.handler.hold = true
	w.connect(t, "another") // the server has begun
	eventually(t, "the clock to go on", func() bool { return w.ticks() != 0 })
	c := dial(t, w.addr)
	c.write(append([]mqtt.Packet{&mqtt.Connect{ClientID: []byte("d")}}, messages(1, 2, 1)...)...)
	c.connack()
	eventually(t, "a halt", func() bool { return w.halted("d") })
	conn := w.live.get(hub.Identity{Device: "d"})
	conn.mu.Lock()
	came := conn.pending.at(conn.pending.head).came
	conn.mu.Unlock()
	if came == 0 {
		t.Error("a message has come before the server began")
	}
	eventually(t, "the clock to go on", func() bool { return w.ticks() != came })
	w.release(w.held())
	next[*mqtt.Puback](c)
	eventually(t, "the next message", func() bool {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		return conn.pending.tail == 2
	})
	conn.mu.Lock()
	got := conn.pending.at(1).came
	conn.mu.Unlock()
	if got != came {
		t.Errorf("the message has come %d µs after the one in the same read", got-came)
	}
	w.release(w.held())
}

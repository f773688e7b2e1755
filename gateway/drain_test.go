package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// A drain closes connections in equal waves over its time, and takes no more.
func TestDrainComesInWaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		w := newBubble(t, nil)
		var closed atomic.Int64
		for i := range n {
			c := w.piped(t, fmt.Sprint("d", i), 0)
			_ = c.nc.SetDeadline(time.Time{})
			go func() { c.hungUp(); closed.Add(1) }()
			w.event(t)
		}
		drained := make(chan error, 1)
		begin := time.Now()
		go func() { drained <- w.Drain(context.Background(), 10*time.Second) }()
		for s := range 10 {
			<-time.After(time.Second - time.Millisecond)
			synctest.Wait()
			if got := closed.Load(); got != int64(s+1)*n/10 {
				t.Errorf("after %v: %d are closed, want about %d", time.Since(begin), got, s*10+10)
			}
			<-time.After(time.Millisecond)
		}
		if err := <-drained; err != nil || w.Serving() != 0 || !w.Draining() {
			t.Errorf("%v, %d are left", err, w.Serving())
		}
		for range n {
			if e := w.event(t); e.Code != hub.ServiceUnavailable {
				t.Fatalf("ended by %d %q", e.Code, e.Reason)
			}
		}
	})
}

// A stop hurries a drain that is under way.
func TestShutdownHurriesADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, nil)
		for i := range 10 {
			go w.piped(t, fmt.Sprint("d", i), 0).hungUp()
		}
		ctx, cancel := context.WithCancel(context.Background())
		drained := make(chan error, 1)
		go func() { drained <- w.Drain(ctx, time.Hour) }()
		<-time.After(time.Second)
		begin := time.Now()
		w.close(t)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
		cancel()
		if err := <-drained; !errors.Is(err, context.Canceled) {
			t.Errorf("the drain ended with %v", err)
		}
	})
}

// What was received is acknowledged before its connection is closed, in
// whichever wave that is.
func TestDrainAcknowledgesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, func(w *world) { w.handler.hold = true })
		c := w.piped(t, "d", 0)
		c.write(messages(1, 3, 1)...)
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- w.Drain(context.Background(), 0) }()
		synctest.Wait()
		w.release(w.held())
		for i := range 3 {
			if ack := next[*mqtt.Puback](c); int(ack.ID) != i+1 {
				t.Errorf("PUBACK %d, want %d", ack.ID, i+1)
			}
		}
		c.closed()
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// The same goes for those who come by WebSocket, whose readers wait for more.
func TestDrainAcknowledgesWebSockets(t *testing.T) {
	const clients = 20
	w := newWorld(t, func(w *world) { w.handler.hold = true })
	var all []*client
	for i := range clients {
		c, _ := w.webSocket(t, fmt.Sprint("d", i))
		c.publish(1, "message")
		<-w.handler.came
		all = append(all, c)
	}
	drained := make(chan error, 1)
	go func() { drained <- w.Drain(t.Context(), 0) }()
	for i := range clients {
		conn := w.live.get(hub.Identity{Device: fmt.Sprint("d", i)})
		eventually(t, "the stop", func() bool { return conn.ended() != nil })
	}
	w.release(w.held())
	for _, c := range all {
		if ack := next[*mqtt.Puback](c); ack.ID != 1 {
			t.Errorf("PUBACK %d, want 1", ack.ID)
		}
		go c.hungUp() // it answers that the other side closes
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// A message that could not be stored is not waited for.
func TestDrainGivesUpTheLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, func(w *world) { w.handler.hold = true })
		c := w.piped(t, "d", 0)
		c.write(messages(1, 2, 1)...)
		synctest.Wait()
		began := time.Now()
		drained := make(chan error, 1)
		go func() { drained <- w.Drain(context.Background(), 0) }()
		synctest.Wait()
		r := w.handler.held[0]
		r.done.Stored(r.tag, errBusy)
		c.closed()
		if err := <-drained; err != nil || time.Since(began) > 0 {
			t.Errorf("it took %v, %v", time.Since(began), err)
		}
	})
}

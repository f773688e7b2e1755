package c2d

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// IoT Hub's rule: what is older than the subscription is not delivered.
func TestDiscard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.put(text("a", AckNegative))
		f.put(text("b", ""))
		f.put(Message{Device: "other", Body: []byte("x")})
		old := text("c", AckFull)
		old.Expires = time.Now().Add(time.Second)
		f.put(old)
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		m, l := open(t, f.queues(), 1)
		m.Discard(time.Now())
		m.Start() // at once: there may be no message between
		synctest.Wait()
		time.Sleep(time.Second) //nolint:forbidigo // of a bubble's clock
		m.Wake(f.put(text("new", "")))
		want(t, l, "new")
		if got := f.left(); !slices.Equal(got, []uint64{3, 5}) {
			t.Errorf("messages %v are left", got)
		}
		if f.status(1) != Rejected || f.status(4) != Expired || len(f.feedback) != 2 || len(f.dead) != 3 {
			t.Errorf("feedback %v, dead letters %v", f.feedback, f.dead)
		}
		m.Close()
	})
}

// The store is away at first, and a newer connection is there at last.
func TestDiscardIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		n := f.put(text("a", AckFull))
		f.dieAfter, f.writes = 1, 1
		older, _ := open(t, q, 1)
		older.Discard(time.Now())
		synctest.Wait()
		f.revive()
		newer, l := open(t, q, 2)
		newer.Start()
		want(t, l, "a")
		time.Sleep(30 * time.Second) //nolint:forbidigo // of a bubble's clock
		if !slices.Equal(f.left(), []uint64{n}) || len(f.dead) > 0 {
			t.Errorf("the older connection has discarded what the newer one delivers: %v", f.feedback)
		}
		newer.Acked(packet(1))
		synctest.Wait()
		if f.status(n) != Success {
			t.Errorf("feedback %v", f.feedback)
		}
		older.Close()
		newer.Close()
	})
}

// A connection that stood still in the middle of its work drops nothing that a
// newer one delivers, whether or not anybody wants to know.
func TestStaleOwnerDropsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		f.put(text("a", ""))
		f.put(text("b", ""))
		f.dieAfter = 4 // it takes the queue, decides about the first message, and drops it
		older, _ := open(t, q, 1)
		older.Discard(time.Now())
		synctest.Wait()
		if !slices.Equal(f.left(), []uint64{2}) {
			t.Fatalf("messages %v are left", f.left())
		}
		f.revive()
		newer, l := open(t, q, 2)
		newer.Start()
		want(t, l, "b")
		time.Sleep(time.Minute / 2) //nolint:forbidigo // of a bubble's clock
		if !slices.Equal(f.left(), []uint64{2}) || len(f.dead) != 1 {
			t.Errorf("messages %v are left, dead letters %v", f.left(), f.dead)
		}
		older.Close()
		newer.Close()
	})
}

// The failures of a message are forgotten with it, whether or not it wanted
// feedback: those of messages that are still there would be pushed out.
func TestFailuresAreForgotten(t *testing.T) {
	for _, ack := range []Ack{AckNone, AckFull} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			m, l := open(t, f.queues(), 1)
			defer m.Close()
			f.put(text("a", ack))
			m.Start()
			time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
			want(t, l, "aa'")
			if f.states["d"].Failures[1] != 1 {
				t.Errorf("failures %v", f.states["d"].Failures)
			}
			m.Acked(l.ids[1])
			synctest.Wait()
			if len(f.left()) > 0 || len(f.states["d"].Failures) > 0 {
				t.Errorf("%s: left %v, failures %v", ack, f.left(), f.states["d"].Failures)
			}
		})
	}
}

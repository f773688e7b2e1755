package c2d

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// TestAckedWhileRetried: the PUBACK comes while the delivery, whose lock has passed, is
// read again, to be repeated.
func TestAckedWhileRetried(t *testing.T) {
	for _, ack := range []Ack{AckNone, AckFull} {
		t.Run(string(ack), func(t *testing.T) { testAckedWhileRetried(t, ack) })
	}
}

func testAckedWhileRetried(t *testing.T, ack Ack) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		m, l := open(t, f.queues(), 1)
		defer m.Close()
		again := false
		f.reread = func() { // of the delivery whose lock has passed
			if !again {
				again = true
				m.Acked(packet(1)) // of the first delivery, late
			}
		}
		m.send = func(d Delivery) (uint16, error) {
			if d.Redelivered && again {
				go m.Acked(packet(1)) // the client is faster than the store
			}
			return l.send(d)
		}
		f.put(text("a", ack))
		m.Start()
		want(t, l, "a")
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "a")
		if got := f.left(); len(got) != 0 || ack == AckFull && f.status(1) != Success || len(f.dead) != 0 {
			t.Errorf("left %v, feedback %v, dead letters %+v", got, f.feedback, f.dead)
		}
		if got := f.states["d"].Failures; len(got) != 0 {
			t.Errorf("failures %v are kept", got)
		}
	})
}

// TestAckedWhileCountedOut: the last delivery is acknowledged while it is being counted as one in vain.
func TestAckedWhileCountedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		q.Limits.Deliveries = 1
		m, l := open(t, q, 1)
		defer m.Close()
		f.reread = func() { m.Acked(packet(1)) }
		f.put(text("a", AckFull))
		m.Start()
		want(t, l, "a")
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		synctest.Wait()
		if got := f.left(); len(got) != 0 || f.status(1) != Success || len(f.dead) != 0 {
			t.Errorf("left %v, feedback %v, dead letters %+v", got, f.feedback, f.dead)
		}
		if got := f.states["d"].Failures; len(got) != 0 {
			t.Errorf("failures %v are kept", got)
		}
	})
}

// TestAckedBeforeTheRepetition: the PUBACK comes when the message has been read again.
func TestAckedBeforeTheRepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		m, l := open(t, q, 1)
		defer m.Close()
		read := false
		f.reread = func() { read = true }
		q.Now = func() time.Time {
			if read {
				read = false
				m.Acked(packet(1))
			}
			return time.Now()
		}
		f.put(text("a", AckFull))
		m.Start()
		want(t, l, "a")
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "a")
		if got := f.left(); len(got) != 0 || f.status(1) != Success {
			t.Errorf("left %v, feedback %v", got, f.feedback)
		}
	})
}

// TestWhatComesBehindWaits: what is sent after a message that the connection did not take
// would overtake it.
func TestWhatComesBehindWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		m, l := open(t, f.queues(), 1)
		defer m.Close()
		sent := 0
		m.send = func(d Delivery) (uint16, error) {
			if sent++; sent == 3 {
				return 0, hub.Errorf(hub.Throttled, "too many")
			}
			return l.send(d)
		}
		f.put(text("a", ""))
		f.put(text("b", ""))
		m.Start()
		want(t, l, "ab")
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "ab")
		time.Sleep(blockedPause) //nolint:forbidigo // of a bubble's clock
		want(t, l, "aba'b'")
	})
}

// removing is a store that calls back before a message is removed.
type removing struct {
	*fakeStore
	before func()
}

func (r removing) Remove(ctx context.Context, n uint64) error {
	r.before()
	return r.fakeStore.Remove(ctx, n)
}

// TestBothAckedBeforeStored: a delivery and its repetition are both acknowledged before the success is stored.
func TestBothAckedBeforeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		m, l := open(t, q, 1)
		defer m.Close()
		again := false
		f.reread = func() {
			if !again {
				again = true
				m.Acked(packet(1)) // of the first delivery, late
			}
		}
		q.Store = removing{f, func() { m.Acked(packet(1)) }} // of the repetition
		f.put(text("a", ""))
		m.Start()
		want(t, l, "a")
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "a")
		if got := f.left(); len(got) != 0 {
			t.Errorf("left %v", got)
		}
	})
}

// TestOldOutcomeIsRemembered: the outcome of a message stays known although those of many later ones are.
func TestOldOutcomeIsRemembered(t *testing.T) {
	f := newFake()
	q := f.queues()
	n := f.put(text("a", AckFull))
	s := State{Settled: map[uint64]Status{}}
	for i := range uint64(maxRemembered) {
		s.Settled[1000+i] = Success
	}
	f.states["d"] = s
	f.undead = n // the process dies before it is removed
	o := outcome{message: f.messages[n], status: Success, epoch: 1}
	if err := q.settle(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o = outcome{message: f.messages[n]}
	o.expire()
	if err := q.settle(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if last := f.copies[len(f.copies)-1]; last.Status != Success {
		t.Errorf("the message has succeeded and then: %+v", last)
	}
}

// TestWhatIsNotSentIsNotCounted: only what was sent is delivered in vain.
func TestWhatIsNotSentIsNotCounted(t *testing.T) {
	for _, err := range []error{ErrNotSubscribed, hub.Errorf(hub.Throttled, "too many")} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			m, l := open(t, f.queues(), 1) // 3 deliveries
			f.put(text("a", AckFull))
			m.Start()
			want(t, l, "a")
			l.fail(err)
			time.Sleep(10 * time.Minute) //nolint:forbidigo // of a bubble's clock
			synctest.Wait()
			if len(f.dead) != 0 || f.states["d"].Failures[1] != 1 {
				t.Errorf("%v: failures %v, dead letters %d", err, f.states["d"].Failures, len(f.dead))
			}
			l.fail(nil)
			m.Start()
			want(t, l, "aa'")
			l.fail(err)
			time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
			m.Close()
			synctest.Wait()
			if n := f.states["d"].Failures[1]; n != 2 {
				t.Errorf("%v: %d failures after two deliveries", err, n)
			}
		})
	}
}

package c2d

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A queue is looked into when somebody says that there may be something, and not
// after each acknowledgement.
func TestLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		for range 20 {
			f.put(text("x", ""))
		}
		m, l := open(t, q, 1)
		defer m.Close()
		looks := func(want int) {
			t.Helper()
			synctest.Wait()
			if f.looks != want {
				t.Errorf("looked %d times, want %d", f.looks, want)
			}
			f.looks = 0
		}
		m.Start()
		want(t, l, strings.Repeat("x", 16))
		looks(1)
		for _, id := range slices.Clone(l.ids) {
			m.Acked(id)
		}
		want(t, l, strings.Repeat("x", 20))
		synctest.Wait()
		f.looks = 0
		for _, id := range l.ids[16:] {
			m.Acked(id)
			synctest.Wait()
		}
		looks(0)
		q.Wake("d", f.put(text("y", "")))
		want(t, l, strings.Repeat("x", 20)+"y")
		looks(1)
		q.WakeAll()
		looks(1)
		if got := f.left(); len(got) != 1 {
			t.Errorf("left %v", got)
		}
	})
}

// One look brings few large messages.
func TestLooksOfLargeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		for range 4 {
			f.put(text(strings.Repeat("x", lookBytes/2), ""))
		}
		m, l := open(t, f.queues(), 1)
		defer m.Close()
		m.Start()
		synctest.Wait()
		if len(l.got) != 4 || f.looks != 3 {
			t.Errorf("%d messages with %d looks, want 2 at once, and then one with each look", len(l.got), f.looks)
		}
	})
}

// A message that comes while the mailbox finds the queue empty is delivered.
func TestMessageAfterTheLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		m, l := open(t, q, 1)
		defer m.Close()
		late := []string{"b", "c"}
		f.looked = func() {
			if len(late) > 0 {
				body := late[0]
				late = late[1:]
				q.Wake("d", f.put(text(body, "")))
			}
		}
		f.put(text("a", ""))
		began := time.Now()
		m.Start()
		want(t, l, "abc")
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// A connection that does not take the last message of a queue gets it later.
func TestLastMessageBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		m, l := open(t, f.queues(), 1)
		defer m.Close()
		f.put(text("a", ""))
		l.fail(errors.New("the connection is full"))
		m.Start()
		want(t, l, "")
		l.fail(nil)
		time.Sleep(blockedPause) //nolint:forbidigo // of a bubble's clock
		want(t, l, "a")
	})
}

// A message is acknowledged and purged while its lock passes.
func TestAckedAndPurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		m, l := open(t, q, 1)
		defer m.Close()
		n := f.put(text("a", ""))
		f.reread = func() {
			m.Acked(packet(1))
			if err := f.Remove(t.Context(), n); err != nil {
				t.Error(err)
			}
		}
		m.Start()
		want(t, l, "a")
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "a")
		f.put(text("b", ""))
		q.WakeAll()
		want(t, l, "ab")
	})
}

// With QoS 0 a message is complete before the next one is sent, however many are
// read at once.
func TestQoS0OneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		for range 3 {
			f.put(text("a", ""))
		}
		m, l := open(t, f.queues(), 1)
		defer m.Close()
		l.qos = 0
		f.dieAfter = 2 // the epoch, and the first one is removed
		m.Start()
		want(t, l, "aa")
		f.revive()
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "aaa")
	})
}

// Acknowledged messages that are settled in the same way go together, and as being
// alone if nothing else is under way before the last of them. The outcomes of those
// with feedback are one write.
func TestRemovals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		for _, ack := range []Ack{"", "", AckNone, "", AckFull, AckPositive, AckNegative, "", ""} {
			f.put(text("x", ack))
		}
		m, l := open(t, f.queues(), 1)
		defer m.Close()
		m.Start()
		want(t, l, "xxxxxxxxx")
		together := func(ids ...uint16) {
			m.mu.Lock() // nothing is settled before all are acknowledged
			for _, id := range ids {
				f := m.flights[m.packets[packet(id)]]
				f.acked = true
				m.acked = append(m.acked, f.message.Sequence)
			}
			m.kick()
			m.mu.Unlock()
			synctest.Wait()
		}
		together(3, 2)
		f.writes = 0
		together(1, 4, 7, 5, 6, 8, 9)
		now := time.Now()
		want := []Removal{
			{Device: "d", Sequences: []uint64{2, 3}},
			{"d", []uint64{1, 4}, now},
			{"d", []uint64{5, 6, 7}, now},
			{"d", []uint64{8, 9}, now},
		}
		if !reflect.DeepEqual(f.removals, want) {
			t.Errorf("removed %+v, want %+v", f.removals, want)
		}
		if got := f.left(); len(got) != 0 || f.status(5) != Success || f.status(6) != Success || len(f.copies) != 2 {
			t.Errorf("left %v, feedback %v", got, f.copies)
		}
		if f.writes != 1+2+7 {
			t.Errorf("%d writes, want one of outcomes, two feedbacks and seven removals", f.writes)
		}
	})
}

// A message that should be gone and is there is not taken along with others, and
// those behind it are delivered.
func TestUnsure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		undead := f.put(text("a", ""))
		f.undead = undead
		m, l := open(t, q, 1)
		defer m.Close()
		m.Start()
		want(t, l, "a")
		m.Acked(packet(1))
		synctest.Wait()
		f.put(text("b", ""))
		q.Wake("d", f.put(text("c", "")))
		want(t, l, "abc")
		m.mu.Lock() // both are acknowledged before one is settled
		for n := uint64(2); n <= 3; n++ {
			m.flights[n].acked, m.acked = true, append(m.acked, n)
		}
		m.kick()
		m.mu.Unlock()
		synctest.Wait()
		if got := f.left(); !slices.Equal(got, []uint64{undead}) || !f.removals[1].AloneSince.IsZero() {
			t.Errorf("left %v after %+v", got, f.removals)
		}
	})
}

// A crash anywhere while several messages are settled together: each has one
// feedback and is gone in the end, and none that has one comes again.
func TestCrashAmongSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for dies := 2; dies <= 10; dies++ {
			f := newFake()
			q := f.queues()
			for range 3 {
				f.put(text("x", AckFull))
			}
			m, l := open(t, q, 1)
			m.Start()
			want(t, l, "xxx")
			f.dieAfter = dies
			for n := range uint16(3) {
				m.Acked(packet(n + 1))
			}
			m.Close()
			q.Wait(t.Context())
			f.revive()
			told := len(f.feedback)
			m, l = open(t, q, 2)
			m.Start()
			synctest.Wait()
			if got := len(l.got); got > 3-told {
				t.Errorf("%d messages after %d feedbacks", got, told)
			}
			for _, id := range l.ids {
				m.Acked(id)
			}
			synctest.Wait()
			if left := f.left(); len(left) != 0 || len(f.feedback) != 3 {
				t.Errorf("a crash after %d writes: left %v, feedback %v", dies, left, f.feedback)
			}
			m.Close()
		}
	})
}

// A store that can do nothing with several messages at once is used as well.
func TestOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		q.Bulk = nil
		for range 18 {
			f.put(text("x", ""))
		}
		f.put(text("y", AckFull))
		m, l := open(t, q, 1)
		defer m.Close()
		m.Start()
		want(t, l, strings.Repeat("x", 16))
		for _, id := range slices.Clone(l.ids) {
			m.Acked(id)
		}
		want(t, l, strings.Repeat("x", 18)+"y")
		for _, id := range l.ids[16:] {
			m.Acked(id)
		}
		synctest.Wait()
		if got := f.left(); len(got) != 0 || f.status(19) != Success || f.looks != 0 {
			t.Errorf("left %v, feedback %v", got, f.feedback)
		}
	})
}

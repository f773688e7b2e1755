package c2d

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
)

func text(s string, ack Ack) Message { return Message{Device: "d", Body: []byte(s), Ack: ack} }

// want compares what a device got.
func want(t *testing.T, l *fakeLink, bodies string) {
	t.Helper()
	synctest.Wait()
	if got := l.bodies(); got != bodies {
		t.Errorf("the device got %q, want %q", got, bodies)
	}
}

func TestDeliveryInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		f.put(text("a", AckFull))
		f.put(text("b", ""))
		f.put(Message{Device: "other", Body: []byte("x")})
		m, l := open(t, q, 5)
		defer m.Close()
		want(t, l, "") // before a subscription
		m.Wake(0)
		want(t, l, "")
		m.Start()
		want(t, l, "ab")
		q.Wake("d", f.put(text("c", AckNegative)))
		want(t, l, "abc")
		if m.Acked(99) {
			t.Error("a packet of somebody else is taken")
		}
		for _, id := range l.ids {
			m.Acked(id)
		}
		synctest.Wait()
		if got := f.left(); !slices.Equal(got, []uint64{3}) || f.status(1) != Success || len(f.feedback) != 1 || len(f.dead) != 0 {
			t.Errorf("left %v, feedback %v, dead letters %v", got, f.feedback, f.dead)
		}
	})
}

func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		for range 20 {
			f.put(text("x", ""))
		}
		m, l := open(t, q, 1)
		defer m.Close()
		m.Start()
		want(t, l, strings.Repeat("x", 16))
		m.Acked(packet(1))
		m.Acked(packet(2))
		want(t, l, strings.Repeat("x", 18))
	})
}

// What became of messages that are gone is forgotten, also of a device that gets
// ever more of them.
func TestOutcomesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		m, l := open(t, q, 1)
		defer m.Close()
		m.Start()
		const count = 150
		for n := uint16(1); n <= count; n++ {
			q.Wake("d", f.put(text("x", AckFull)))
			synctest.Wait()
			m.Acked(packet(n))
			synctest.Wait()
		}
		want(t, l, strings.Repeat("x", count))
		if n := len(f.states["d"].Settled); len(f.copies) != count || n > tidyFrom {
			t.Errorf("%d feedbacks, and %d outcomes of messages that are gone", len(f.copies), n)
		}
	})
}

// The outcome of a message that is still there is kept: the crash came before it
// was removed.
func TestOutcomeOfAMessageThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		stays := f.put(text("a", AckFull))
		f.undead = stays
		m, l := open(t, q, 1)
		m.Start()
		want(t, l, "a")
		m.Acked(packet(1))
		for n := uint16(2); n <= 100; n++ {
			q.Wake("d", f.put(text("b", AckFull)))
			synctest.Wait()
			m.Acked(packet(n))
			synctest.Wait()
		}
		m.Close()
		f.undead = 0
		m, l = open(t, q, 2)
		defer m.Close()
		m.Start()
		want(t, l, "")
		if left := f.left(); len(left) > 0 || f.status(stays) != Success {
			t.Errorf("left %v, feedback %q", left, f.status(stays))
		}
	})
}

func TestQoS0IsCompleteWhenSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		m, l := open(t, f.queues(), 1)
		l.qos = 0
		f.put(text("a", AckPositive))
		f.put(text("b", ""))
		m.Start()
		want(t, l, "ab")
		if got := f.left(); len(got) != 0 || f.status(1) != Success {
			t.Errorf("left %v, feedback %v", got, f.feedback)
		}
		m.Close()
	})
}

func TestFlushIsDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.put(text("a", ""))
		q := f.queues()
		m, l := open(t, q, 1)
		m.StartAfter(time.Second)
		time.Sleep(999 * time.Millisecond) //nolint:forbidigo // of a bubble's clock
		want(t, l, "")
		time.Sleep(time.Millisecond) //nolint:forbidigo // of a bubble's clock
		want(t, l, "a")
		m.Close()

		m, l = open(t, q, 2)
		m.Hurry() // was not told to wait
		want(t, l, "")
		m.StartAfter(time.Hour)
		m.Hurry()
		want(t, l, "a'")
		m.Close()

		m, l = open(t, q, 3)
		m.StartAfter(time.Second)
		m.Close()
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "")
	})
}

// A connection that is gone leaves nothing behind, whatever is still asked of it.
func TestClosedMailbox(t *testing.T) {
	for name, began := range map[string]func(*Mailbox){
		"not started":       func(*Mailbox) {},
		"started":           (*Mailbox).Start,
		"to start later":    func(m *Mailbox) { m.StartAfter(time.Second) },
		"started and acked": func(m *Mailbox) { m.Start(); synctest.Wait(); m.Acked(packet(1)); synctest.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				q := f.queues()
				f.put(text("a", ""))
				m, l := open(t, q, 1)
				began(m)
				synctest.Wait()
				before := l.bodies()
				m.Close()
				synctest.Wait()
				m.Start()
				m.StartAfter(time.Second)
				m.Hurry()
				m.Wake(f.put(text("b", "")))
				q.WakeAll()
				time.Sleep(time.Hour) //nolint:forbidigo // of a bubble's clock
				synctest.Wait()
				if after := l.bodies(); after != before {
					t.Errorf("%q was sent after the end, and %q before", after, before)
				}
				if len(q.open) > 0 {
					t.Error("the mailbox is still known")
				}
			})
		})
	}
}

// A mailbox ends when its connection is gone and what it knows is stored, when that
// can't be stored, and when a newer connection has the device: it does not try for ever.
func TestMailboxEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end    func(*fakeStore, *Queues, *Mailbox)
		failed int // deliveries in vain that are known
		trials int // how often the store was away
	}{
		"closed": {func(_ *fakeStore, _ *Queues, m *Mailbox) { m.Close() }, 1, 0},
		"closed, the store is away": {func(f *fakeStore, _ *Queues, m *Mailbox) {
			f.dieAfter, f.writes = 1, 1
			m.Close()
		}, 0, 3},
		"replaced": {func(_ *fakeStore, q *Queues, m *Mailbox) {
			newer, _ := open(t, q, 2)
			newer.Start()
			synctest.Wait()
			newer.Close()
			synctest.Wait()
			m.Acked(packet(1))
		}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				q := f.queues()
				n := f.put(text("a", AckFull))
				m, l := open(t, q, 1)
				m.Start()
				want(t, l, "a")
				tt.end(f, q, m)
				time.Sleep(time.Minute / 2) //nolint:forbidigo // of a bubble's clock
				synctest.Wait()
				m.mu.Lock()
				ended := m.ended
				m.mu.Unlock()
				if !ended {
					t.Error("the mailbox goes on")
				}
				if got := f.states["d"].Failures[n]; got != tt.failed {
					t.Errorf("%d deliveries in vain are known, want %d", got, tt.failed)
				}
				if f.refused != tt.trials {
					t.Errorf("the store was asked %d times in vain, want %d", f.refused, tt.trials)
				}
				m.Close()
				synctest.Wait()
			})
		})
	}
}

func TestLockPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		m, l := open(t, f.queues(), 1)
		defer m.Close()
		f.put(text("a", AckNegative))
		f.put(text("b", AckFull))
		m.Start()
		want(t, l, "ab")
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "aba'b'")
		m.Acked(packet(2))      // late, of the first delivery: the device has it
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "aba'b'a'")
		if f.status(2) != Success {
			t.Errorf("feedback %v", f.feedback)
		}
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "aba'b'a'")
		if got := f.left(); len(got) != 0 || f.status(1) != DeliveryCountExceeded || len(f.dead) != 1 || f.dead[0].Message.Deliveries != 3 {
			t.Errorf("left %v, feedback %v, dead letters %+v", got, f.feedback, f.dead)
		}
	})
}

func TestConnectionsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		f.put(text("a", AckFull))
		for epoch := range uint64(3) {
			m, l := open(t, q, epoch+1)
			m.Start()
			wantText := "a'"
			if epoch == 0 {
				wantText = "a"
			}
			want(t, l, wantText)
			m.Close()
			q.Wait(t.Context())
		}
		m, l := open(t, q, 4)
		m.Start()
		want(t, l, "")
		if f.status(1) != DeliveryCountExceeded || len(f.dead) != 1 || len(f.left()) != 0 {
			t.Errorf("feedback %v, dead letters %v", f.feedback, f.dead)
		}
		m.Close()
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		f.put(text("a", AckFull))
		b := text("b", "")
		b.Expires = time.Now().Add(2 * time.Hour)
		f.put(b)
		time.Sleep(time.Hour) //nolint:forbidigo // of a bubble's clock
		for _, n := range []uint64{1, 2} {
			if settled, err := q.Inspect(t.Context(), f.messages[n]); settled || err != nil {
				t.Errorf("Inspect = %v, %v within the time of a lock", settled, err)
			}
		}
		m, l := open(t, q, 1)
		m.Start()
		want(t, l, "b")
		m.Close()
		q.Wait(t.Context())
		if f.status(1) != Expired || len(f.dead) != 1 {
			t.Errorf("feedback %v, dead letters %v", f.feedback, f.dead)
		}
		n := f.put(text("c", AckNegative))
		time.Sleep(2 * time.Hour) //nolint:forbidigo // of a bubble's clock
		if settled, err := q.Inspect(t.Context(), f.messages[n]); !settled || err != nil || f.status(n) != Expired {
			t.Errorf("Inspect = %v, %v, feedback %v", settled, err, f.feedback)
		}
	})
}

// What expires while its device is away has been delivered in vain before: the dead
// letter says how often, whoever wants feedback, and nothing of it is kept.
func TestExpiryAfterDeliveries(t *testing.T) {
	for _, ack := range []Ack{AckNone, AckFull} {
		t.Run(string(ack), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				q := f.queues()
				n := f.put(text("a", ack))
				for epoch := range uint64(2) {
					m, _ := open(t, q, epoch+1)
					m.Start()
					synctest.Wait()
					m.Close()
					q.Wait(t.Context())
				}
				time.Sleep(2 * time.Hour) //nolint:forbidigo // of a bubble's clock
				if settled, err := q.Inspect(t.Context(), f.messages[n]); !settled || err != nil {
					t.Fatalf("Inspect = %v, %v", settled, err)
				}
				if len(f.dead) != 1 || f.dead[0].Message.Deliveries != 2 {
					t.Errorf("dead letters %+v, want one with 2 deliveries", f.dead)
				}
				if s := f.states["d"]; len(s.Failures) > 0 {
					t.Errorf("the failures %v are kept", s.Failures)
				}
			})
		})
	}
}

func TestInspectRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		f.unknown["ghost"] = true
		bad := map[string]Message{
			"nobody":    {Device: "ghost", Ack: AckFull},
			"ack word":  {Device: "d", Ack: "perhaps"},
			"too large": {Device: "d", Ack: AckNegative, Body: make([]byte, MaxSize+1)},
		}
		for name, m := range bad {
			n := f.put(m)
			if settled, err := q.Inspect(t.Context(), f.messages[n]); !settled || err != nil {
				t.Errorf("%s: Inspect = %v, %v", name, settled, err)
			}
		}
		if len(f.left()) != 0 || len(f.dead) != 3 || len(f.feedback) != 2 {
			t.Errorf("left %v, dead letters %v, feedback %v", f.left(), f.dead, f.feedback)
		}
	})
}

// Anybody may publish to a queue: what breaks the rules does not reach the device, and
// holds nothing up.
func TestBrokenMessagesAreNotDelivered(t *testing.T) {
	for name, m := range map[string]Message{
		"ack word":       {Device: "d", Body: []byte("x"), Ack: "perhaps"},
		"topic too long": longestTopic(1),
		"no name":        {Device: "d", Body: []byte("x"), Properties: map[string]string{"": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.put(m)
				good := f.put(text("good", ""))
				box, l := open(t, f.queues(), 1)
				box.Start()
				want(t, l, "good")
				if got := f.left(); !slices.Equal(got, []uint64{good}) {
					t.Errorf("messages %v are left", got)
				}
				if len(f.dead) != 1 || f.dead[0].Status != Rejected || f.dead[0].Description == "" {
					t.Errorf("dead letters %+v", f.dead)
				}
				box.Close()
				synctest.Wait()
			})
		})
	}
}

// graves are Outcomes without room for dead letters.
type graves struct{ *fakeStore }

func (graves) Bury(context.Context, DeadLetter) error {
	return hub.Errorf(hub.ServiceUnavailable, "away")
}

// A message that can't be delivered stays until its dead letter is stored; then who
// asked hears of it, once.
func TestDeadLetterBeforeTheMessageGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		var dropped, settled []Status
		q.Dropped = func(d DeadLetter) { dropped = append(dropped, d.Status) }
		q.Settled = func(_ Message, how Status) { settled = append(settled, how) }
		n := f.put(Message{Device: "d", Ack: "perhaps"})
		q.Outcomes = graves{f}
		if _, err := q.Inspect(t.Context(), f.messages[n]); hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("Inspect = %v, want ServiceUnavailable", err)
		}
		if len(f.left()) != 1 || len(dropped)+len(settled) > 0 {
			t.Errorf("left %v, dropped %v, settled %v", f.left(), dropped, settled)
		}
		q.Outcomes = f
		if done, err := q.Inspect(t.Context(), f.messages[n]); !done || err != nil {
			t.Errorf("Inspect = %v, %v", done, err)
		}
		if len(f.left()) != 0 || len(f.dead) != 1 || !slices.Equal(dropped, []Status{Rejected}) || !slices.Equal(settled, []Status{Rejected}) {
			t.Errorf("left %v, dead letters %v, dropped %v, settled %v", f.left(), f.dead, dropped, settled)
		}
	})
}

func TestPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		f.put(text("a", AckFull))
		f.put(text("b", ""))
		m, l := open(t, q, 1)
		defer m.Close()
		m.Start()
		want(t, l, "ab")
		if n, err := q.Purge(t.Context(), "d"); n != 2 || err != nil {
			t.Errorf("Purge = %d, %v", n, err)
		}
		m.Acked(packet(1))
		m.Acked(packet(2))
		synctest.Wait()
		if f.status(1) != Purged || len(f.copies) != 1 || len(f.dead) != 0 {
			t.Errorf("feedback %v, dead letters %v", f.copies, f.dead)
		}
	})
}

// A connection that was replaced can't complete what the new one delivers.
func TestStaleOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		n := f.put(text("a", AckFull))
		older, l1 := open(t, q, 1)
		older.Start()
		want(t, l1, "a")
		newer, l2 := open(t, q, 2)
		newer.Start()
		want(t, l2, "a")
		older.Acked(packet(1))
		synctest.Wait()
		if f.status(n) != "" || len(f.left()) != 1 {
			t.Fatalf("the older connection has settled the message: %v", f.feedback)
		}
		q.Wake("d", f.put(text("b", "")))
		want(t, l1, "a")
		want(t, l2, "ab")
		newer.Acked(packet(1))
		synctest.Wait()
		if f.status(n) != Success {
			t.Errorf("feedback %v", f.feedback)
		}
		older.Close()
		newer.Close()
	})
}

// A connection that was replaced, and has not heard of it, buries no message that
// the newer one may be delivering just now, whether anybody wants feedback or not.
func TestStaleOwnerBuriesNothing(t *testing.T) {
	for _, ack := range []Ack{AckNone, AckFull} {
		f := newFake()
		q := f.queues()
		m := text("a", ack)
		m.Sequence = f.put(m)
		m.Deliveries = 3
		if _, err := q.take(t.Context(), "d", 7); err != nil {
			t.Fatal(err)
		}
		err := q.settle(t.Context(), outcome{message: m, status: DeliveryCountExceeded, reason: "too often", epoch: 5})
		if hub.CodeOf(err) != hub.ConnectionReplaced {
			t.Errorf("ack %s: the older connection settles with %v, want ConnectionReplaced", ack, err)
		}
		if len(f.dead) != 0 || len(f.left()) != 1 {
			t.Errorf("ack %s: dead letters %v, left %v", ack, f.dead, f.left())
		}
	}
}

// Epochs begin anew in a hub whose sessions were lost; its queues go on.
func TestEpochsOfLostSessionsMeanNothing(t *testing.T) {
	f := newFake()
	q := f.queues()
	for _, tc := range []struct {
		epoch, forgot uint64
		code          hub.Code
	}{{1000, 0, 0}, {2, 4, 0}, {3, 4, 0}, {2, 4, hub.ConnectionReplaced}} {
		f.forgot = tc.forgot
		if _, err := q.take(t.Context(), "d", tc.epoch); err == nil != (tc.code == 0) || err != nil && hub.CodeOf(err) != tc.code {
			t.Errorf("epoch %d of less than %d: %v, want code %d", tc.epoch, tc.forgot, err, tc.code)
		}
	}
}

func TestSubscriptionGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		m, l := open(t, f.queues(), 1)
		defer m.Close()
		m.Start()
		l.fail(ErrNotSubscribed)
		m.Wake(f.put(text("a", "")))
		time.Sleep(time.Hour / 2) //nolint:forbidigo // of a bubble's clock
		want(t, l, "")
		l.fail(nil)
		m.Start()
		want(t, l, "a")
		l.fail(errors.New("too much is not acknowledged"))
		m.Wake(f.put(text("b", "")))
		want(t, l, "a")
		l.fail(nil)
		time.Sleep(blockedPause) //nolint:forbidigo // of a bubble's clock
		want(t, l, "ab")
	})
}

// A wake-up that is faster than a replica of the store is not lost, and one for
// a message that is gone costs little.
func TestWakeBeforeTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		m, l := open(t, f.queues(), 1)
		defer m.Close()
		m.Start()
		m.Wake(1)
		want(t, l, "")
		f.put(text("a", ""))
		time.Sleep(time.Second) //nolint:forbidigo // of a bubble's clock
		want(t, l, "a")
		m.Wake(7)
		time.Sleep(time.Hour) //nolint:forbidigo // of a bubble's clock
		want(t, l, "aa'a'")   // it was not acknowledged
		if m.tries != 0 || m.hint > 1 {
			t.Errorf("%d tries, hint %d", m.tries, m.hint)
		}
	})
}

// Whatever the last write before a crash, the message is neither lost nor
// delivered after its feedback, and there is one feedback.
func TestCrashes(t *testing.T) {
	for _, ack := range []Ack{AckNone, AckFull} {
		for writes := 1; writes <= 6; writes++ {
			t.Run(fmt.Sprintf("%s after %d", ack, writes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFake()
					n := f.put(text("a", ack))
					f.dieAfter = writes
					m, l := open(t, f.queues(), 1)
					m.Start()
					synctest.Wait()
					if len(l.ids) > 0 {
						m.Acked(packet(1))
					}
					synctest.Wait()
					m.Close()
					time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
					f.revive()
					reported, there := f.status(n), len(f.left()) == 1
					m, l = open(t, f.queues(), 2)
					m.Start()
					synctest.Wait()
					if reported != "" && l.bodies() != "" {
						t.Error("delivered again after the feedback")
					}
					if !there && l.bodies() != "" {
						t.Error("delivered again after it was removed")
					}
					for _, id := range l.ids {
						m.Acked(id)
					}
					synctest.Wait()
					if ack == AckFull && f.status(n) != Success || len(f.left()) != 0 || len(f.dead) != 0 {
						t.Errorf("left %v, feedback %v, dead letters %v", f.left(), f.copies, f.dead)
					}
					m.Close()
				})
			})
		}
	}
}

func TestTroubleIsToldAndOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.put(text("a", AckFull))
		f.dieAfter, f.writes = 1, 1
		q := f.queues()
		told := 0
		q.Trouble = func(device string, err error) {
			if told++; device != "d" || !errors.Is(err, errCrash) {
				t.Errorf("told of %s: %v", device, err)
			}
		}
		m, l := open(t, q, 1)
		defer m.Close()
		m.Start()
		time.Sleep(time.Second) //nolint:forbidigo // of a bubble's clock
		f.revive()
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "a")
		if told == 0 {
			t.Error("nobody was told")
		}
	})
}

func TestChangeGivesUp(t *testing.T) {
	f := newFake()
	q := f.queues()
	err := q.change(t.Context(), "d", func(s *State) (bool, error) {
		s.Revision += 100
		return true, nil
	})
	if hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("change = %v", err)
	}
}

func TestStateIsBounded(t *testing.T) {
	var m map[uint64]int
	for n := range uint64(1000) {
		m = remember(m, n, 1)
	}
	if len(m) != maxRemembered || m[999] != 1 || m[0] != 0 {
		t.Errorf("%d entries", len(m))
	}
}

// A message has the same packet identifier on every connection, and is marked as
// sent before where it was, or may have been, in the same session.
func TestPacketsAreSentAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		resumed, cut bool
		deaf         bool // the store does not hear of failures, as when the gateway dies
		want         string
	}{
		"[MQTT3-4.4.0-1] session goes on":   {resumed: true, want: "a'b'c"},
		"the gateway has died":              {resumed: true, cut: true, deaf: true, want: "a'b'c"},
		"its end is told, nothing was sent": {resumed: true, deaf: true, want: "abc"},
		"new session":                       {want: "abc"},
		"new session after a cut":           {cut: true, want: "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				q := f.queues()
				f.put(text("a", ""))
				f.put(text("b", ""))
				m, l := open(t, q, 1)
				m.Start()
				want(t, l, "ab")
				if tt.deaf {
					f.dieAfter = f.writes
				}
				m.Close()
				time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
				f.revive()
				again := &fakeLink{t: t, qos: 1}
				m = q.Open(Owner{Device: "d", Epoch: 2, Resumed: tt.resumed, Cut: tt.cut}, again.send)
				m.Start()
				synctest.Wait()
				q.Wake("d", f.put(text("c", "")))
				want(t, again, tt.want)
				if !slices.Equal(l.ids, again.ids[:2]) {
					t.Errorf("packet identifiers %v, at first %v", again.ids, l.ids)
				}
				m.Close()
			})
		})
	}
}

// Only as many messages are in doubt as one connection can have sent.
func TestDoubtsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		q.Limits.Window = 2
		for _, body := range []string{"a", "b", "c"} {
			f.put(text(body, ""))
		}
		l := &fakeLink{t: t, qos: 1}
		m := q.Open(Owner{Device: "d", Epoch: 2, Resumed: true, Cut: true}, l.send)
		defer m.Close()
		m.Start()
		want(t, l, "a'b'")
		m.Acked(packet(1))
		want(t, l, "a'b'c")
	})
}

// Of two messages whose numbers make the same packet identifier, the later one
// gets another while the first is under way, and also while the PUBACK of a
// second copy may come.
func TestPacketIdentifierIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		m, l := open(t, q, 1)
		defer m.Close()
		m.Start()
		put := func(body string) {
			n := f.put(text(body, ""))
			f.last += 1<<15 - 1
			q.Wake("d", n)
			synctest.Wait()
		}
		put("a")
		put("b")
		if want := []uint16{packet(1), 1}; !slices.Equal(l.ids, want) {
			t.Fatalf("packet identifiers %v, want %v", l.ids, want)
		}
		m.Acked(packet(1))
		put("c")
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "abcb'c'")
		m.Acked(packet(1))
		synctest.Wait()
		put("d")
		m.Acked(packet(1)) // that of the second copy of c
		synctest.Wait()
		if want := []uint16{packet(1), 1, packet(1), 2, packet(1), 3}; !slices.Equal(l.ids, want) {
			t.Errorf("packet identifiers %v, want %v", l.ids, want)
		}
		if got := f.left(); len(got) != 2 {
			t.Errorf("left %v, want b and d", got)
		}
	})
}

// TestReplicaBehind: a replica of the store that has not got a message yet
// answers that there is none. The message is neither forgotten before it is
// delivered nor left behind after it.
func TestReplicaBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		q := f.queues()
		lag := func(n uint64, behind bool) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.unread = map[uint64]bool{n: behind}
		}
		m, l := open(t, q, 1)
		defer m.Close()
		m.Start()
		n := f.put(text("a", AckFull))
		lag(n, true)
		m.Wake(n)
		time.Sleep(time.Minute) //nolint:forbidigo // of a bubble's clock
		want(t, l, "")
		lag(n, false)
		time.Sleep(behindPause) //nolint:forbidigo // of a bubble's clock
		want(t, l, "a")
		lag(n, true)
		m.Acked(l.ids[0])
		synctest.Wait()
		if got := f.left(); len(got) != 0 || f.status(n) != Success {
			t.Errorf("left %v, feedback %v", got, f.feedback)
		}
	})
}

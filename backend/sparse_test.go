package backend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// sparsely stores 8 times 150 messages by wire with a fake stream, and returns what
// it has accepted, what the engine said of it, and how many came without asking.
func sparsely(t *testing.T, cfg Config, answer func(tag uint64, before int) string) (*Engine, map[uint64]bool, map[uint64]bool, int) {
	t.Helper()
	s := serve(t, "", 0)
	f := newFake(t, s)
	f.answerBy(answer)
	e := byWire.engine(t, s, cfg)
	l := newLedger(t)
	const devices, count = 8, 150
	offer(e, l, devices, count)
	l.wait(devices * count)
	stored, _ := l.check()
	took := map[uint64]bool{}
	for _, tag := range f.accepted() {
		took[tag] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return e, took, stored, f.silent
}

// TestSparse: most messages do not ask, and all are answered.
func TestSparse(t *testing.T) {
	t.Parallel()
	e, took, stored, silent := sparsely(t, Config{}, func(uint64, int) string { return "ok" })
	if len(took) != 1200 || len(stored) != 1200 || e.Retried() > 0 {
		t.Errorf("%d are in the stream, %d acknowledged, %d repeated", len(took), len(stored), e.Retried())
	}
	if silent < 100 {
		t.Errorf("%d of 1200 have not asked", silent)
	}
}

// TestSparseNeverLies: whatever the stream drops, refuses or does not answer, what
// is reported as stored is in it.
func TestSparseNeverLies(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(seed, 1))
			_, took, stored, silent := sparsely(t, Config{StoreTimeout: 3 * time.Second}, func(_ uint64, before int) string {
				switch n := dice.IntN(1000); {
				case before > 1, n > 12:
					return "ok"
				case n < 6:
					return "" // dropped
				case n < 8:
					return lostAck
				case n < 10:
					return full
				default:
					return tooMany
				}
			})
			holds(t, took, stored)
			if len(stored) < 600 || silent == 0 {
				t.Errorf("%d were stored, %d have not asked", len(stored), silent)
			}
		})
	}
}

// TestSparseWithOthers: when somebody else writes into the stream, each message asks
// for itself, and nothing is lost.
func TestSparseWithOthers(t *testing.T) {
	t.Parallel()
	came := 0
	e, took, stored, silent := sparsely(t, Config{}, func(uint64, int) string {
		if came++; came > 300 && came%7 == 0 {
			return afterOne
		}
		return "ok"
	})
	if len(took) != 1200 || len(stored) != 1200 {
		t.Errorf("%d are in the stream, %d acknowledged", len(took), len(stored))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sparse || silent == 0 || e.Retried() >= 2*sparseGroup*parcelSlots {
		t.Errorf("sparse %t, %d have not asked, %d repeated", e.sparse, silent, e.Retried())
	}
}

// TestAlone: who writes besides the engine waits until no message depends on another
// one's answer, and meanwhile each asks.
func TestAlone(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	f := newFake(t, s)
	e := byWire.engine(t, s, Config{})
	l := newLedger(t)
	offer(e, l, 1, 1)
	l.wait(1)
	f.answerBy(func(uint64, int) string { return "" })
	e.mu.Lock() // so that all of them are one parcel
	e.pumping <- struct{}{}
	e.mu.Unlock()
	offer(e, l, 4, 10)
	until(t, "some wait for others", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.unasked(e.win.next)
	})
	ctx, cancel := context.WithTimeout(testContext(t), 150*time.Millisecond)
	defer cancel()
	if err := e.alone(ctx, func() error { return errors.New("called") }); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that the time is over", err)
	}
	f.answerBy(nil)
	err := e.alone(testContext(t), func() error {
		f.mu.Lock()
		before := f.silent
		f.mu.Unlock()
		offer(e, l, 1, 100)
		l.wait(130)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.silent != before {
			return fmt.Errorf("%d have not asked", f.silent-before)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.singles != 0 {
		t.Errorf("%d are still alone", e.singles)
	}
}

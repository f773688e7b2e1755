package backend

import (
	"slices"
	"testing"
	"time"

	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/identity"
)

// sweeper is a keeper whose clock is the test's, on a node of its own.
type sweeper struct {
	*c2dKeeper
	t   *testing.T
	now time.Time
}

func newSweeper(t *testing.T, b *Backbone, outcomes c2d.Outcomes) *sweeper {
	t.Helper()
	s := &sweeper{t: t, now: time.Now()}
	queues := &c2d.Queues{Store: b.C2D().Store, Outcomes: outcomes, Devices: b.devices, Claims: b.C2D().Claims, Now: func() time.Time { return s.now }}
	s.c2dKeeper = &c2dKeeper{backbone: b, store: b.C2D().Store.(*C2DStore), queues: queues}
	return s
}

// reads makes a pass some time later, and wants it to read so many messages.
func (s *sweeper) reads(later time.Duration, want int) {
	s.t.Helper()
	s.now = s.now.Add(later)
	if looked, err := s.pass(testContext(s.t), s.now, time.Now().Add(testTimeout)); looked != want || err != nil {
		s.t.Errorf("the pass has read %d messages, %v, want %d", looked, err, want)
	}
}

// sweeps makes a sweep some time later.
func (s *sweeper) sweeps(later time.Duration) {
	s.t.Helper()
	s.now = s.now.Add(later)
	if err := s.sweep(testContext(s.t), s.now); err != nil {
		s.t.Errorf("the sweep: %v", err)
	}
}

func expiry(at time.Time) []string {
	return []string{"absolute-expiry-time", at.UTC().Format(time.RFC3339)}
}

// crowd has the device dev-1 with so many messages that expire tomorrow.
func crowd(t *testing.T, s *embedded.Server, count int) *Backbone {
	t.Helper()
	b := open(t, s, Config{C2D: c2d.Limits{Depth: 2 * count}, Node: "a"})
	if _, err := (&identity.Registry{Store: b.Devices()}).Create(testContext(t), identity.Record{ID: device(1)}); err != nil {
		t.Fatal(err)
	}
	for range count {
		publish(t, b, "dev-1", "x", expiry(time.Now().Add(24*time.Hour))...)
	}
	return b
}

// Nothing is read while nothing is due. What is new, what is due, and after an
// hour everything is.
func TestC2DSweepReadsWhatIsDue(t *testing.T) {
	t.Parallel()
	const count = stretchSize + 200
	b := crowd(t, serve(t, "", 0), count)
	w := newSweeper(t, b, b.C2D().Outcomes)
	w.reads(0, count)
	w.reads(time.Minute, 0)
	publish(t, b, "dev-1", "soon", expiry(w.now.Add(10*time.Minute))...)
	w.reads(time.Minute, 1)
	w.reads(9*time.Minute, 0) // the lock has its time
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 0 {
		t.Fatalf("%d dead letters before the time", n)
	}
	w.reads(2*time.Minute, 201) // the stretch that it is in
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 1 {
		t.Errorf("%d dead letters, want the one that has expired", n)
	}
	w.reads(time.Minute, 0)
	w.reads(time.Hour, count)
	w.reads(25*time.Hour, count)
	w.reads(time.Minute, 0)
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != count+1 || len(w.seen.stretches) != 0 {
		t.Errorf("%d dead letters, %d stretches are remembered", n, len(w.seen.stretches))
	}
}

// Who takes the turn from a node that is silent looks at everything; so does a
// node that was started again, at once.
func TestC2DSweepOfAnotherNode(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := crowd(t, s, 10)
	b := open(t, s, Config{Node: "b"})
	first, second := newSweeper(t, a, a.C2D().Outcomes), newSweeper(t, b, b.C2D().Outcomes)
	began := func(w *sweeper, want bool) {
		t.Helper()
		if w.seen.began != want {
			t.Errorf("the node %s remembers: %t, want %t", w.backbone.cfg.Node, w.seen.began, want)
		}
	}
	first.sweeps(0)
	second.sweeps(sweepEvery)
	began(first, true)
	began(second, false)
	first.sweeps(sweepEvery + time.Second)
	second.sweeps(sweepEvery) // two minutes after the first, one after the other
	began(second, false)
	second.sweeps(2 * sweepEvery)
	began(second, true)
	if got := second.seen.stretches; len(got) != 1 || got[0].count != 10 {
		t.Errorf("the other node has seen %+v", got)
	}
	first.sweeps(2 * sweepEvery)
	began(first, false)
	again := newSweeper(t, b, b.C2D().Outcomes)
	again.sweeps(5*sweepEvery + 5*time.Second)
	began(again, true)
}

// A device is deleted, and the node that does it dies before the queue is empty.
// The next sweep finds the messages, although they are not due.
func TestC2DSweepOfADeletedDevice(t *testing.T) {
	t.Parallel()
	b := crowd(t, serve(t, "", 0), 3)
	w := newSweeper(t, b, b.C2D().Outcomes)
	w.sweeps(0)
	if err := b.devices.bucket.remove(testContext(t), subject.Key(device(1)), 0); err != nil {
		t.Fatal(err)
	}
	w.sweeps(sweepEvery)
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 3 {
		t.Errorf("%d dead letters, want 3", n)
	}
	last := w.seen.registry
	w.sweeps(sweepEvery)
	if !w.seen.began || last == 0 || w.seen.registry != last {
		t.Errorf("%+v is remembered, want the revision %d", w.seen, last)
	}
}

// What is left of a deleted device and can't be settled is tried again by each
// sweep.
func TestC2DSweepOfADeletedDeviceTriesAgain(t *testing.T) {
	t.Parallel()
	b := crowd(t, serve(t, "", 0), 3)
	out := &fullGrave{Outcomes: b.C2D().Outcomes, device: "dev-1"}
	w := newSweeper(t, b, out)
	w.sweeps(0)
	if err := b.devices.bucket.remove(testContext(t), subject.Key(device(1)), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.now = w.now.Add(sweepEvery)
		if err := w.sweep(testContext(t), w.now); err == nil {
			t.Error("the sweep has not failed")
		}
	}
	out.device = ""
	w.sweeps(sweepEvery)
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 3 {
		t.Errorf("%d dead letters, want 3", n)
	}
}

// What could not be settled is tried again by the next pass, whenever it expires.
func TestC2DSweepTriesAgain(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := crowd(t, s, 3)
	shut(b)
	b = open(t, s, Config{}) // nobody tells it of the messages
	if err := b.devices.bucket.remove(testContext(t), subject.Key(device(1)), 0); err != nil {
		t.Fatal(err)
	}
	out := &fullGrave{Outcomes: b.C2D().Outcomes, device: "dev-1"}
	w := newSweeper(t, b, out)
	if _, err := w.pass(testContext(t), w.now, time.Now().Add(testTimeout)); err == nil || out.tries != 3 {
		t.Errorf("pass = %v after %d tries", err, out.tries)
	}
	out.device = ""
	w.reads(time.Minute, 3)
	w.reads(time.Minute, 0)
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 3 {
		t.Errorf("%d dead letters, want 3", n)
	}
}

// Messages that can't be settled, however many, do not keep a sweep from those
// behind them.
func TestC2DSweepPassesOverFailures(t *testing.T) {
	t.Parallel()
	b, _ := hostileHub(t)
	past := expiry(time.Now().Add(-time.Hour))
	for range 3 * maxFailed {
		publish(t, b, "dev-1", "bad", past...)
	}
	publish(t, b, "dev-2", "good", past...)
	w := newSweeper(t, b, &fullGrave{Outcomes: b.C2D().Outcomes, device: "dev-1"})
	for pass := 1; pass <= 4; pass++ {
		if _, err := w.pass(testContext(t), w.now, time.Now().Add(testTimeout)); err == nil {
			t.Errorf("pass %d has not failed", pass)
		}
	}
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 1 {
		t.Errorf("%d dead letters, want the good one", n)
	}
	w.queues.Outcomes = b.C2D().Outcomes
	for range 2 {
		if _, err := w.pass(testContext(t), w.now, time.Now().Add(testTimeout)); err != nil {
			t.Error(err)
		}
	}
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 3*maxFailed+1 {
		t.Errorf("%d dead letters, want all", n)
	}
}

// Numbers that were seen are those of other messages when the stream is made
// anew.
func TestC2DSweepOfANewStream(t *testing.T) {
	t.Parallel()
	b := crowd(t, serve(t, "", 0), 5)
	w := newSweeper(t, b, b.C2D().Outcomes)
	w.sweeps(0)
	config := queueConfig(t, b)
	err := b.js.DeleteStream(testContext(t), config.Name)
	if err == nil {
		_, err = b.js.CreateStream(testContext(t), config)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		publish(t, b, "dev-1", "x", expiry(w.now.Add(-time.Hour))...)
	}
	w.sweeps(sweepEvery)
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 6 {
		t.Errorf("%d dead letters, want 6", n)
	}
}

// A NATS server that was away may have lost the end of the stream, and gives its
// numbers to other messages.
func TestC2DSweepAfterReconnect(t *testing.T) {
	t.Parallel()
	b := crowd(t, serve(t, "", 0), 1)
	w := newSweeper(t, b, b.C2D().Outcomes)
	w.sweeps(0)
	w.seen.stretches[0].due-- // not what a look makes of it
	before := w.seen.stretches[0]
	if err := b.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	until(t, "a reconnect", func() bool { return b.nc.Stats().Reconnects > 0 && b.nc.IsConnected() })
	w.sweeps(sweepEvery)
	if got := w.seen.stretches[0]; got.due == before.due {
		t.Errorf("what was seen is still believed: %+v", got)
	}
}

func TestC2DSeen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var s c2dSeen
	for i, count := range []int{0, 600, 400, 0, 100, 1000, 24, 0} {
		s.stretches = append(s.stretches, stretch{last: uint64(100 * (i + 1)), due: int64(90 - i), full: int64(50 + i), count: count})
	}
	s.compact()
	want := []stretch{{last: 300, due: 88, full: 51, count: 1000}, {last: 500, due: 86, full: 54, count: 100}, {last: 700, due: 84, full: 55, count: 1024}}
	if !slices.Equal(s.stretches, want) {
		t.Errorf("got %+v, want %+v", s.stretches, want)
	}
	for at, want := range map[uint64]int{0: 0, 299: 0, 300: 1, 600: 2, 700: 3, 900: 3} {
		s.at = at
		if got := s.start(); got != want {
			t.Errorf("begins with stretch %d after %d, want %d", got, at, want)
		}
	}
	soon := newStretch(now)
	soon.add(now.Add(time.Minute))
	ahead := newStretch(now.Add(24 * time.Hour)) // of a clock that was wrong
	for name, tt := range map[string]struct {
		of        stretch
		at        time.Time
		due, full bool
	}{
		"before":       {soon, now.Add(50 * time.Second), false, false},
		"after":        {soon, now.Add(62 * time.Second), true, false},
		"an hour":      {soon, now.Add(time.Hour), true, true},
		"a jump":       {ahead, now, true, true},
		"half an hour": {newStretch(now), now.Add(29 * time.Minute), false, false},
	} {
		if due, full := tt.of.isDue(tt.at); due != tt.due || full != tt.full {
			t.Errorf("%s: due %t, all %t", name, due, full)
		}
	}
	if n := s.last(); n != 700 {
		t.Errorf("seen up to %d", n)
	}
}

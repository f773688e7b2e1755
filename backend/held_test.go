package backend

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// notedDisk is a disk that notes how much of a stream each sync covers: what was in
// it when the sync began.
type notedDisk struct {
	last func() uint64 // sequence of the stream

	mu      sync.Mutex
	covered uint64 // by the syncs that have ended well
	rounds  int
	fails   int // at which round; 0: never
}

// watch says which stream it is.
func (w *notedDisk) watch(last func() uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = last
}

var errDisk = errors.New("input/output error")

func (w *notedDisk) sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil { // the hub is being made
		return nil
	}
	at := w.last()
	if w.rounds++; w.rounds == w.fails {
		return errDisk
	}
	w.covered = at
	return nil
}

// coveredLedger notes what was on disk at each answer.
type coveredLedger struct {
	*ledger
	disk  *notedDisk
	at    map[uint64]uint64 // by tag
	order []uint64          // of the answers
}

func (l *coveredLedger) Stored(tag uint64, err error) {
	l.disk.mu.Lock()
	covered := l.disk.covered
	l.disk.mu.Unlock()
	l.mu.Lock()
	if err == nil {
		l.at[tag] = covered
		l.order = append(l.order, tag)
	}
	l.mu.Unlock()
	l.ledger.Stored(tag, err)
}

// lastOfStream asks the server itself, past everything that is tested.
func lastOfStream(tb testing.TB, s *embedded.Server, stream string) func() uint64 {
	tb.Helper()
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return func() uint64 {
		st, err := js.Stream(context.Background(), stream)
		if err != nil {
			return 0 // so much is covered for sure
		}
		return st.CachedInfo().State.LastSeq
	}
}

// sequences reads the first sequence of each tag.
func sequences(tb testing.TB, js jetstream.JetStream, stream string) map[uint64]uint64 {
	tb.Helper()
	ctx := testContext(tb)
	s, err := js.Stream(ctx, stream)
	if err != nil {
		tb.Fatal(err)
	}
	all := map[uint64]uint64{}
	for sequence := uint64(1); sequence <= s.CachedInfo().State.LastSeq; sequence++ {
		m, err := s.GetMsg(ctx, sequence)
		if err != nil {
			tb.Fatal(err)
		}
		tag, err := strconv.ParseUint(string(m.Data), 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		if _, again := all[tag]; !again {
			all[tag] = sequence
		}
	}
	return all
}

// checkCovered fails t for an answer that was given before a sync had ended that
// began with the message in the stream.
func (l *coveredLedger) checkCovered(tb testing.TB, at map[uint64]uint64) {
	tb.Helper()
	early := 0
	for tag, covered := range l.at {
		if at[tag] == 0 || at[tag] > covered {
			early++
		}
	}
	if early > 0 {
		tb.Errorf("%d of %d messages were acknowledged before the disk had them", early, len(l.at))
	}
	last := map[uint64]uint64{} // tag by device
	for _, tag := range l.order {
		if dev := tag >> 32; tag < last[dev] {
			tb.Errorf("device %d: %d was answered after %d", dev, tag&0xffffffff, last[dev]&0xffffffff)
		} else {
			last[dev] = tag
		}
	}
}

func TestNoAnswerBeforeTheDisk(t *testing.T) { byEach(t, testNoAnswerBeforeTheDisk) }

func testNoAnswerBeforeTheDisk(t *testing.T, w way) {
	t.Parallel()
	s := serve(t, "", 0)
	disk := &notedDisk{}
	b := w.open(t, s, Config{Sync: disk.sync, MaxInFlight: 256})
	disk.watch(lastOfStream(t, s, telemetryStream))
	const devices, count = 20, 100
	l := &coveredLedger{ledger: newLedger(t), disk: disk, at: map[uint64]uint64{}}
	offer(b.Telemetry(), l, devices, count)
	l.wait(devices * count)
	if stored, _ := l.check(); len(stored) != devices*count {
		t.Errorf("%d of %d messages were acknowledged", len(stored), devices*count)
	}
	l.checkCovered(t, sequences(t, b.JetStream(), telemetryStream))
	if disk.rounds >= devices*count/2 {
		t.Errorf("%d syncs for %d messages", disk.rounds, devices*count)
	}
	if n := b.Stats().Syncs.Count; n < uint64(disk.rounds) {
		t.Errorf("%d syncs are counted of %d", n, disk.rounds)
	}
	until(t, "the window to be empty", func() bool { return b.Telemetry().InFlight() == 0 })
	if n := b.Telemetry().Stored(); n != devices*count {
		t.Errorf("Stored = %d", n)
	}
}

func TestNoAnswerAfterAFailedSync(t *testing.T) { byEach(t, testNoAnswerAfterAFailedSync) }

func testNoAnswerAfterAFailedSync(t *testing.T, w way) {
	t.Parallel()
	s := serve(t, "", 0)
	disk := &notedDisk{fails: 5}
	b := w.open(t, s, Config{Sync: disk.sync})
	disk.watch(lastOfStream(t, s, telemetryStream))
	const devices, count = 20, 100
	l := &coveredLedger{ledger: newLedger(t), disk: disk, at: map[uint64]uint64{}}
	for i := range count { // so slowly that there are many syncs
		for d := range devices {
			b.Telemetry().Store(message(device(d), tagOf(d, i)), l, tagOf(d, i))
		}
		if b.commits.fault() == nil {
			_ = b.Committed(testContext(t))
		}
	}
	if err := b.Broken(); !errors.Is(err, errDisk) {
		t.Errorf("Broken = %v", err)
	}
	if err := b.CheckStore(); !errors.Is(err, errDisk) {
		t.Errorf("CheckStore = %v", err)
	}
	if _, err := b.Devices().Create(testContext(t), identity.Record{ID: device(1)}); !errors.Is(err, errDisk) {
		t.Errorf("Create = %v", err)
	}
	shut(b)
	l.wait(devices * count)
	stored, codes := l.check()
	if len(stored) == 0 || codes[hub.ServiceUnavailable] == 0 || len(stored)+codes[hub.ServiceUnavailable] != devices*count {
		t.Errorf("%d messages were acknowledged, answers by code: %v", len(stored), codes)
	}
	if disk.rounds != disk.fails {
		t.Errorf("%d syncs, and number %d failed", disk.rounds, disk.fails)
	}
	other := w.open(t, s, Config{})
	l.checkCovered(t, sequences(t, other.JetStream(), telemetryStream))
}

// TestDiskThatDoesNotAnswer: a message has StoreTimeout for the disk too.
func TestDiskThatDoesNotAnswer(t *testing.T) { byEach(t, testDiskThatDoesNotAnswer) }

func testDiskThatDoesNotAnswer(t *testing.T, w way) {
	t.Parallel()
	disk := newSlowDisk()
	e, c := heldEngine(t, w, Config{StoreTimeout: 300 * time.Millisecond}, disk)
	l := newLedger(t)
	e.Store(message(device(1), 1), l, 1)
	<-disk.begun
	e.Store(message(device(1), 2), l, 2)
	l.wait(2)
	disk.end <- nil
	closing, cancel := context.WithCancel(t.Context())
	cancel()
	e.Close(closing)
	c.close(testContext(t))
	if stored, codes := l.check(); len(stored) > 0 || codes[hub.ServiceUnavailable] != 2 {
		t.Errorf("stored %v, codes %v", stored, codes)
	}
}

// TestCloseWaitsForTheDisk, and no longer than it may.
func TestCloseWaitsForTheDisk(t *testing.T) { byEach(t, testCloseWaitsForTheDisk) }

func testCloseWaitsForTheDisk(t *testing.T, w way) {
	t.Parallel()
	for name, inTime := range map[string]bool{"in time": true, "too late": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := newSlowDisk()
			e, c := heldEngine(t, w, Config{}, disk)
			l := newLedger(t)
			e.Store(message(device(1), 1), l, 1)
			<-disk.begun
			ctx, cancel := context.WithCancel(testContext(t))
			over := make(chan struct{})
			go func() {
				defer close(over)
				e.Close(ctx)
			}()
			until(t, "Close to begin", func() bool {
				e.mu.Lock()
				defer e.mu.Unlock()
				return e.closed
			})
			if inTime {
				disk.end <- nil
			} else {
				cancel()
			}
			<-over
			cancel()
			if !inTime {
				disk.end <- nil
			}
			c.close(testContext(t))
			stored, codes := l.check()
			if len(stored) == 1 != inTime || len(codes) != 1 {
				t.Errorf("stored %v, codes %v", stored, codes)
			}
		})
	}
}

// TestWindowHoldsWhatWaitsForTheDisk: its places are not for others.
func TestWindowHoldsWhatWaitsForTheDisk(t *testing.T) { byEach(t, testWindowHoldsWhatWaitsForTheDisk) }

func testWindowHoldsWhatWaitsForTheDisk(t *testing.T, w way) {
	t.Parallel()
	disk := newSlowDisk()
	e, c := heldEngine(t, w, Config{MaxInFlight: 2}, disk)
	l := newLedger(t)
	e.Store(message(device(1), 1), l, 1)
	<-disk.begun
	e.Store(message(device(1), 2), l, 2)
	entered := make(chan struct{})
	go func() {
		defer close(entered)
		e.Store(message(device(1), 3), l, 3)
	}()
	until(t, "the third message to wait for a place", func() bool { return e.Stats().Waiting })
	if n := e.InFlight(); n != 2 {
		t.Errorf("InFlight = %d", n)
	}
	disk.end <- nil
	<-entered
	go func() {
		for range disk.begun {
			disk.end <- nil
		}
	}()
	l.wait(3)
	c.close(testContext(t))
	close(disk.begun)
	if stored, _ := l.check(); len(stored) != 3 {
		t.Errorf("stored %v", stored)
	}
}

// heldEngine is an engine whose answers wait for a disk. The caller closes the
// commits.
func heldEngine(t *testing.T, w way, cfg Config, disk *slowDisk) (*Engine, *commits) {
	t.Helper()
	s := serve(t, "", 0)
	shut(open(t, s, Config{})) // makes the stream
	c := newCommits(disk.sync)
	return w.engineWith(t, s, cfg, c), c
}

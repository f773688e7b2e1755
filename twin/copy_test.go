package twin

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// terminal is a connected device: what it was told and answered.
type terminal struct {
	t     *testing.T
	m     *memory
	s     *Twins
	c     *Copy
	mu    sync.Mutex
	heard []string
	deaf  bool // it has not subscribed
}

func connect(t *testing.T) *terminal {
	t.Helper()
	m := newMemory(dev)
	d := &terminal{t: t, m: m, s: service(m)}
	d.c = d.s.Open(dev, Owner{}, func(n Notification) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.deaf {
			return false
		}
		d.heard = append(d.heard, string(n.Body))
		return true
	})
	return d
}

func (d *terminal) get() string {
	d.t.Helper()
	var got string
	if err := d.c.Device(d.t.Context(), func(b []byte) { got = string(b) }); err != nil {
		d.t.Fatalf("Device: %v", err)
	}
	return got
}

func (d *terminal) report(body string) int64 {
	d.t.Helper()
	v, err := d.c.PatchReported(d.t.Context(), []byte(body), 0)
	if err != nil {
		d.t.Fatalf("PatchReported(%s): %v", body, err)
	}
	return v
}

// announced writes desired properties and returns what is announced.
func (d *terminal) announced(body string) Announcement {
	d.t.Helper()
	update(d.t, d.s, desired(body))
	return d.last()
}

func (d *terminal) last() Announcement {
	return Announcement{ID: dev, Revision: d.m.revision, Desired: d.m.changes[len(d.m.changes)-1].Desired}
}

func (d *terminal) sync() {
	d.t.Helper()
	if err := d.c.Sync(d.t.Context()); err != nil {
		d.t.Fatalf("Sync: %v", err)
	}
}

func (d *terminal) wantHeard(want ...string) {
	d.t.Helper()
	if !slices.Equal(d.heard, want) {
		d.t.Errorf("the device heard %q, want %q", d.heard, want)
	}
	d.heard = nil
}

func (d *terminal) wantCost(gets, puts int) {
	d.t.Helper()
	if d.m.gets != gets || d.m.puts != puts {
		d.t.Errorf("got %d reads and %d writes, want %d and %d", d.m.gets, d.m.puts, gets, puts)
	}
	d.m.gets, d.m.puts = 0, 0
}

func TestCopyCosts(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.get()
	d.wantCost(1, 0)
	for i := range 3 {
		if got, want := d.report(fmt.Sprintf(`{"n":%d}`, i)), int64(i+2); got != want {
			t.Errorf("got version %d, want %d", got, want)
		}
	}
	d.wantCost(0, 3)
	if got, want := d.get(), `{"desired":{"$version":1},"reported":{"n":2,"$version":4}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	d.wantCost(0, 0)

	a := d.announced(`{"a":1}`)
	d.wantCost(1, 1)
	d.c.Announced(a)
	if got, want := d.get(), `{"desired":{"a":1,"$version":2},"reported":{"n":2,"$version":4}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	d.wantCost(1, 0)
	d.wantHeard(`{"a":1,"$version":2}`)

	update(t, d.s, `{"tags":{"t":1}}`) // and nobody hears of it
	d.wantCost(1, 1)
	d.report(`{"n":9}`)
	d.wantCost(1, 2)
}

func TestCopyHearsInOrder(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.sync()
	a2, a3, a4 := d.announced(`{"a":{"x":2}}`), d.announced(`{"a":{"y":3}}`), d.announced(`{"a":{"x":null,"z":4}}`)
	for _, a := range []Announcement{a2, a2, a3, a2} {
		if d.c.Announced(a) {
			t.Errorf("version %d: something is missing", a.Desired.Version)
		}
	}
	d.wantHeard(`{"a":{"x":2},"$version":2}`, `{"a":{"y":3},"$version":3}`)
	d.c.Announced(a4)
	d.wantHeard(`{"a":{"x":null,"z":4},"$version":4}`)
	d.get()
	for _, a := range []Announcement{a2, a3, a4} {
		d.c.Announced(a)
	}
	d.wantHeard()
}

// TestCopyAfterGet: a notification of the version that a GET has shown still
// comes, an older one does not.
func TestCopyAfterGet(t *testing.T) {
	t.Parallel()
	d := connect(t)
	a2, a3 := d.announced(`{"a":2}`), d.announced(`{"a":3}`)
	d.get()
	d.c.Announced(a2)
	d.wantHeard()
	d.c.Announced(a3)
	d.wantHeard(`{"a":3,"$version":3}`)
}

func TestCopyMakesGapsGood(t *testing.T) {
	t.Parallel()
	d := connect(t)
	update(t, d.s, desired(`{"a":1,"b":{"x":1,"y":1}}`))
	d.get()
	_, a4 := d.announced(`{"a":null,"b":{"x":null}}`), d.announced(`{"c":4}`)
	if !d.c.Announced(a4) {
		t.Error("the gap was not seen")
	}
	d.wantHeard()
	a5 := d.announced(`{"d":5}`)
	if !d.c.Announced(a5) {
		t.Error("the gap was forgotten")
	}
	d.sync()
	d.wantHeard(`{"b":{"y":1,"x":null},"c":4,"d":5,"a":null,"$version":5}`)
	d.sync()
	d.wantHeard()
	if d.c.Announced(d.announced(`{"e":6}`)) {
		t.Error("the gap was not closed")
	}
	d.wantHeard(`{"e":6,"$version":6}`)
}

// TestCopyHearsOfWhatNobodyAnnounced: the write is seen in the bucket only.
func TestCopyHearsOfWhatNobodyAnnounced(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.get()
	update(t, d.s, desired(`{"a":1}`))
	a := d.last()
	if !d.c.Written(a.Revision) {
		t.Fatal("the write was not missed")
	}
	d.sync()
	d.wantHeard(`{"a":1,"$version":2}`)
	if d.c.Written(a.Revision) {
		t.Error("the write is still missed")
	}
	next := d.announced(`{"a":2}`)
	d.c.Announced(next)
	d.report(`{"n":1}`)
	if d.c.Written(next.Revision) || d.c.Written(d.m.revision) {
		t.Error("a write that was announced, or is the device's own, counts as missed")
	}
	d.wantHeard(`{"a":2,"$version":3}`)
}

// TestSyncSeesWhatComesMeanwhile: an announcement between read and answer.
func TestSyncSeesWhatComesMeanwhile(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.sync()
	update(t, d.s, desired(`{"a":2}`))
	update(t, d.s, desired(`{"a":3}`))
	a := d.last()
	if !d.c.Announced(a) {
		t.Fatal("the gap was not seen")
	}
	// The store is a replica that has not got the last write yet.
	now := d.m.twins[dev]
	old := now
	old.Revision, old.desired.version = now.Revision-1, now.desired.version-1
	d.m.twins[dev] = old
	go func() {
		d.m.mu.Lock()
		defer d.m.mu.Unlock()
		d.m.twins[dev] = now
	}()
	d.sync()
	if last := d.heard[len(d.heard)-1]; last != `{"a":3,"$version":3}` {
		t.Errorf("the device heard %q", d.heard)
	}
}

// TestCopyGoesBackWithTheStore: when the store is put back from a backup the device is
// told what that has, and is served as before.
func TestCopyGoesBackWithTheStore(t *testing.T) {
	t.Parallel()
	d := connect(t)
	update(t, d.s, desired(`{"a":1}`))
	d.get()
	backup, revision := d.m.twins[dev], d.m.revision
	for _, body := range []string{`{"a":2}`, `{"b":3}`} {
		if d.c.Announced(d.announced(body)) {
			t.Fatal("something is missing")
		}
	}
	d.m.twins[dev], d.m.revision = backup, revision
	d.c.Invalidate()
	d.sync()
	d.wantHeard(`{"a":2,"$version":3}`, `{"b":3,"$version":4}`, `{"a":1,"b":null,"$version":2}`)
	if got, want := d.get(), `{"desired":{"a":1,"$version":2},"reported":{"$version":1}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if v := d.report(`{"r":1}`); v != 2 {
		t.Errorf("reported properties have the version %d, want 2", v)
	}
	if d.c.Announced(d.announced(`{"a":4}`)) {
		t.Error("something is missing")
	}
	d.wantHeard(`{"a":4,"$version":3}`)
}

func TestReplay(t *testing.T) {
	t.Parallel()
	d := connect(t)
	update(t, d.s, desired(`{"a":1}`))
	d.sync()
	d.wantHeard()
	if err := d.c.Replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.wantHeard(`{"a":1,"$version":2}`)
	d.m.fail = hub.Errorf(hub.ServiceUnavailable, "away")
	d.c.Invalidate()
	wantCode(t, d.c.Replay(t.Context()), hub.ServiceUnavailable)
}

func TestCopyPassesTheFirstOn(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.c.Announced(d.announced(`{"a":1}`)) // nobody has asked for anything before
	d.wantHeard(`{"a":1,"$version":2}`)
	if d.c.Announced(Announcement{ID: dev, Revision: 99}) {
		t.Error("tags alone miss something")
	}
	if !d.c.Announced(Announcement{ID: dev, Revision: 1, Desired: Notification{3, []byte(`rubbish`)}}) {
		t.Error("an announcement that can't be read was taken")
	}
}

func TestCopyRaces(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.get()
	d.m.before = func(hub.Identity) { update(t, service(d.m), `{"tags":{"t":1}}`) } // of another node
	if got := d.report(`{"a":1}`); got != 2 {
		t.Errorf("got version %d, want 2", got)
	}
	d.wantCost(3, 3)

	// A version that only an old copy has is not refused out of hand.
	if _, err := d.s.PatchReported(t.Context(), dev, []byte(`{"b":1}`), 0); err != nil {
		t.Fatal(err)
	}
	if got, err := d.c.PatchReported(t.Context(), []byte(`{"c":1}`), 3); err != nil || got != 4 {
		t.Errorf("got version %d, %v, want 4", got, err)
	}
	_, err := d.c.PatchReported(t.Context(), []byte(`{"c":1}`), 3)
	wantCode(t, err, hub.PreconditionFailed)
	_, err = d.c.PatchReported(t.Context(), []byte(`nonsense`), 0)
	wantCode(t, err, hub.ArgumentInvalid)
}

func TestCopyFaults(t *testing.T) {
	t.Parallel()
	d := connect(t)
	for name, f := range map[string]func() error{
		"get":    func() error { return d.c.Device(t.Context(), func([]byte) { t.Error("an answer") }) },
		"report": func() error { _, err := d.c.PatchReported(t.Context(), []byte(`{}`), 0); return err },
		"sync":   func() error { return d.c.Sync(t.Context()) },
	} {
		d.m.fail = hub.Errorf(hub.ServiceUnavailable, "away")
		if err := f(); hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("%s: got %v", name, err)
		}
	}
	d.get()
	d.m.before = func(hub.Identity) { d.m.fail = hub.Errorf(hub.GatewayTimeout, "who knows") }
	_, err := d.c.PatchReported(t.Context(), []byte(`{}`), 0)
	wantCode(t, err, hub.GatewayTimeout)
	d.wantCost(4, 1)
	d.get() // reads again: the write may be stored
	d.wantCost(1, 0)

	next := New(dev, "2", created) // deleted and created again
	next.Revision = 99
	d.m.twins[dev] = next
	d.c.Invalidate()
	err = d.c.Device(t.Context(), func([]byte) { t.Error("another device's twin") })
	wantCode(t, err, hub.DeviceNotFound)
}

// TestCopyUnderLoad: whatever the device hears and asks, versions rise.
func TestCopyUnderLoad(t *testing.T) {
	t.Parallel()
	d := connect(t)
	var syncs sync.WaitGroup
	d.m.listen = func(a Announcement) {
		if a.Desired.Version%7 == 0 {
			return // lost
		}
		if d.c.Announced(a) {
			syncs.Go(func() { _ = d.c.Sync(t.Context()) })
		}
	}
	last := int64(0)
	d.c.send = func(n Notification) bool {
		if n.Version <= last {
			t.Errorf("version %d after %d", n.Version, last)
		}
		last = n.Version
		return true
	}
	d.sync()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 20 {
				update(t, d.s, desired(fmt.Sprintf(`{"k%d":%d}`, i, j)))
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			_ = d.get()
			_ = d.report(`{"a":1}`)
		}
	})
	wg.Wait()
	syncs.Wait()
	d.sync()
	if want := d.m.twins[dev].DesiredVersion(); max(last, d.c.seen) != want {
		t.Errorf("the device knows version %d, want %d", last, want)
	}
}

// subscribe does what the gateway does when the device subscribes.
func (d *terminal) subscribe() {
	d.t.Helper()
	d.deaf = false
	if d.c.Subscribed() {
		d.sync()
	}
}

// A device that reads its twin and subscribes afterwards hears what there is by
// then, if it has changed in between.
func TestSubscribeAfterGet(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.deaf = true
	d.c.Announced(d.announced(`{"before":1}`))
	d.get()
	for _, body := range []string{`{"a":1}`, `{"b":{"c":2}}`, `{"a":null}`} {
		if d.c.Announced(d.announced(body)) {
			t.Errorf("%s asks for a read of the twin that nobody hears of", body)
		}
	}
	d.subscribe()
	d.wantHeard(`{"before":1,"b":{"c":2},"$version":5}`)
	d.subscribe()
	d.wantHeard()
	d.c.Announced(d.announced(`{"d":4}`))
	d.wantHeard(`{"d":4,"$version":6}`)
}

// A device that subscribes without reading hears of later changes only, as with
// IoT Hub.
func TestSubscribeWithoutGet(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.deaf = true
	d.c.Announced(d.announced(`{"a":1}`))
	d.subscribe()
	d.wantHeard()
	d.c.Announced(d.announced(`{"b":2}`))
	d.wantHeard(`{"b":2,"$version":3}`)
}

// A device that subscribes without reading is told all that there is when a node
// has missed what was written since, and nothing of what was written before.
func TestMissedWithoutGet(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		subscribed time.Duration // before the write
		heard      []string
	}{
		"written since":    {time.Minute, []string{`{"a":1,"$version":2}`}},
		"by another clock": {-time.Second, []string{`{"a":1,"$version":2}`}},
		"written before":   {-time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := connect(t)
			d.s.Now = func() time.Time { return later.Add(-tt.subscribed) }
			d.subscribe()
			d.s.Now = func() time.Time { return later }
			lost := d.announced(`{"a":1}`)
			if !d.c.Written(lost.Revision) {
				t.Fatal("a write that nobody told of is not missed")
			}
			d.sync()
			d.wantHeard(tt.heard...)
			d.sync()
			d.c.Announced(d.announced(`{"b":2}`))
			d.wantHeard(`{"b":2,"$version":3}`)
		})
	}
}

// What a device has read meanwhile is not told again.
func TestSubscribeAfterALaterGet(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.deaf = true
	d.get()
	d.c.Announced(d.announced(`{"a":1}`))
	d.get()
	d.subscribe()
	d.wantHeard()
}

// TestFailedSyncIsMadeGood: a reading that was to make good what was missed has failed, and
// the feed of the bucket tells of the write.
func TestFailedSyncIsMadeGood(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.get()
	d.announced(`{"a":1}`) // it is lost
	a := d.announced(`{"b":2}`)
	if !d.c.Announced(a) {
		t.Fatal("the gap was not seen")
	}
	d.m.fail = hub.Errorf(hub.ServiceUnavailable, "away")
	wantCode(t, d.c.Sync(t.Context()), hub.ServiceUnavailable)
	if d.c.Written(a.Revision) { // the feed of the bucket tells of it
		d.sync()
	}
	d.wantHeard(`{"a":1,"b":2,"$version":3}`)
}

// A request whose time is over ends, whatever it waits for.
func TestCopyEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(d *terminal, ctx context.Context, cancel func()) error{
		"another writer's turn": func(d *terminal, ctx context.Context, cancel func()) error {
			turn, err := d.s.turns.take(ctx, dev)
			if err != nil {
				return err
			}
			defer d.s.turns.give(dev, turn)
			cancel()
			_, err = d.c.PatchReported(ctx, []byte(`{"a":1}`), 0)
			d.wantCost(0, 0)
			return err
		},
		"a write that others win": func(d *terminal, ctx context.Context, cancel func()) error {
			d.lose(cancel)
			_, err := d.c.PatchReported(ctx, []byte(`{"a":1}`), 0)
			return err
		},
		"an answer that others outdate": func(d *terminal, ctx context.Context, cancel func()) error {
			d.c.owner = Owner{Epoch: 7, Contested: true}
			d.lose(cancel)
			return d.c.Device(ctx, func([]byte) { d.t.Error("an answer") })
		},
		"a replica that is behind": func(d *terminal, ctx context.Context, cancel func()) error {
			d.m.revision = 9
			d.c.Announced(Announcement{ID: dev, Revision: 9})
			cancel()
			return d.c.Sync(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := connect(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wantCode(t, f(d, ctx, cancel), hub.GatewayTimeout)
		})
	}
}

// lose has somebody else write first whenever the device writes.
func (d *terminal) lose(then func()) {
	d.m.before = func(hub.Identity) {
		update(d.t, service(d.m), `{"tags":{"t":1}}`)
		then()
		d.lose(then)
	}
}

// A device that was told of a version is not answered with an older one.
func TestAnswerIsNotOlderThanWhatWasTold(t *testing.T) {
	t.Parallel()
	d := connect(t)
	d.get()
	old := d.m.twins[dev]
	d.c.Announced(d.announced(`{"a":1}`))
	d.wantHeard(`{"a":1,"$version":2}`)
	d.wantCost(2, 1)
	if d.c.answered(old, func([]byte) { t.Error("an answer") }) {
		t.Error("it was answered")
	}
	d.get()
	d.wantCost(1, 0)
}

// Nobody knows whether a write was stored whose time was over: the next answer is
// from the store, whether the twin had been read for the write or before.
func TestCopyIsReadAgainAfterAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"the copy was kept": true, "it was read for the write": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := connect(t)
			if known {
				d.get()
			}
			d.m.before = func(hub.Identity) { d.m.fail = hub.Errorf(hub.GatewayTimeout, "who knows") }
			_, err := d.c.PatchReported(t.Context(), []byte(`{"a":1}`), 0)
			wantCode(t, err, hub.GatewayTimeout)
			d.wantCost(1, 1)
			d.get()
			d.wantCost(1, 0)
		})
	}
}

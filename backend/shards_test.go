package backend

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend/subject"
)

// everywhere reads all streams of telemetry.
func everywhere(tb testing.TB, b *Backbone) map[string][]uint64 {
	tb.Helper()
	names, err := shardsThere(testContext(tb), b.js, b.names)
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string][]uint64{}
	for _, name := range names {
		for of, tags := range contents(tb, b.js, name) {
			all[of] = append(all[of], tags...)
		}
	}
	return all
}

// onlooker is the tags that a subscriber to all telemetry has seen.
type onlooker struct {
	mu   sync.Mutex
	seen map[uint64]bool
}

func (c *onlooker) take(m *nats.Msg) {
	tag, err := strconv.ParseUint(string(m.Data), 10, 64)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[tag] = true
}

func (c *onlooker) has(all map[uint64]bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for tag := range all {
		if !c.seen[tag] {
			return false
		}
	}
	return true
}

// traffic stores messages from devices, one after another each, until it is ended.
type traffic struct {
	stop  atomic.Bool
	wg    sync.WaitGroup
	count atomic.Int64
}

func (tr *traffic) run(b *Backbone, l *ledger, first, devices int) {
	for d := range devices {
		tr.wg.Go(func() {
			p := pacer{l, make(chan struct{}, 4)}
			for i := 0; !tr.stop.Load(); i++ {
				p.room <- struct{}{}
				tag := tagOf(first+d, i)
				b.Telemetry().Store(message(device(first+d), tag), p, tag)
				tr.count.Add(1)
			}
		})
	}
}

// pacer lets a device have a few messages in flight.
type pacer struct {
	*ledger
	room chan struct{}
}

func (p pacer) Stored(tag uint64, err error) {
	p.ledger.Stored(tag, err)
	<-p.room
}

func (tr *traffic) end() {
	tr.stop.Store(true)
	tr.wg.Wait()
}

// The number of streams goes from 1 to 4 to 2 to 1, node by node, while devices
// send: what is acknowledged is stored, in one stream only, and whoever subscribes to
// all telemetry sees all of it.
func TestShardsChangeUnderLoad(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	l, perNode := newLedger(t), 6
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	watch := &onlooker{seen: map[uint64]bool{}}
	sub, err := nc.Subscribe("hub.telemetry.>", watch.take)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	var sent int64
	var before *Backbone
	var load *traffic
	for i, n := range []int{1, 4, 2, 1} {
		b := open(t, s, Config{Shards: n})
		next := &traffic{}
		next.run(b, l, i*perNode, perNode)
		until(t, "the new node stores", func() bool { return next.count.Load() > 200 && b.Telemetry().Stored() > 200 })
		if load != nil { // both have stored at the same time
			load.end()
			sent += load.count.Load()
			until(t, "all is answered", func() bool { return before.Telemetry().InFlight() == 0 })
			shut(before)
		}
		before, load = b, next
	}
	load.end()
	sent += load.count.Load()
	l.wait(int(sent))
	stored, codes := l.check()
	if len(stored) != int(sent) {
		t.Errorf("%d sent, codes %v: want all stored", sent, codes)
	}
	seen, copies := inOrder(t, everywhere(t, before))
	holds(t, seen, stored)
	if len(seen) != int(sent) || copies != 0 {
		t.Errorf("%d messages are in the streams and %d copies, want %d and none", len(seen), copies, sent)
	}
	until(t, "the subscriber has seen all", func() bool { return watch.has(stored) })
}

// Each shard has its messages under the subjects that all telemetry has, and a
// start with fewer shards leaves the others as they are.
func TestShardsHaveOneKindOfSubject(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{Shards: 3})
	l := newLedger(t)
	offer(b.Telemetry(), l, 30, 5)
	l.wait(150)
	for shard := range 3 {
		for subjects := range contents(t, b.js, b.names.TelemetryShard(shard)) {
			id, err := b.names.Parse("telemetry", subjects)
			if err != nil || subject.Shard(id.Device, 3) != shard {
				t.Errorf("%s is in shard %d: %v", subjects, shard, err)
			}
		}
		if got := info(t, b, b.names.TelemetryShard(shard)); !slices.Equal(got.Subjects, b.names.ShardSubjects(shard)) {
			t.Errorf("shard %d takes %v", shard, got.Subjects)
		}
	}
	one := open(t, s, Config{Telemetry: Limits{MaxBytes: 64 << 20}})
	if got := info(t, one, "HUB_TELEMETRY_2"); got.MaxBytes != 64<<20 {
		t.Errorf("a shard without writers has %d bytes, want what is configured", got.MaxBytes)
	}
	if seen, _ := inOrder(t, everywhere(t, one)); len(seen) != 150 {
		t.Errorf("%d of 150 messages are left", len(seen))
	}
}

// A shard whose stream is gone holds up its own devices only.
func TestShardsFailAlone(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{Shards: 2})
	if err := b.js.DeleteStream(testContext(t), "HUB_TELEMETRY_1"); err != nil {
		t.Fatal(err)
	}
	l := newLedger(t)
	well, waits := 0, 0
	for d := range 20 {
		b.Telemetry().Store(message(device(d), tagOf(d, 1)), l, tagOf(d, 1))
		if subject.Shard(device(d).Device, 2) == 0 {
			well++
		} else {
			waits++
		}
	}
	if well == 0 || waits == 0 {
		t.Fatalf("%d devices in one shard, %d in the other", well, waits)
	}
	l.wait(well)
	if n := l.len(); n != well {
		t.Errorf("%d messages are answered, want %d", n, well)
	}
	until(t, "the node says that not all streams take messages", func() bool { return !b.Telemetry().Flowing() })
}

// An upgrade narrows the stream of a hub from before there were shards; a node
// never leaves a subject without a stream.
func TestOldTelemetryStreamMakesRoom(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	l := newLedger(t)
	offer(b.Telemetry(), l, 4, 10)
	l.wait(40)
	old := info(t, b, "HUB_TELEMETRY")
	old.Subjects, old.Metadata = []string{"hub.telemetry.>", "mine.>"}, map[string]string{"note": "mine"}
	if _, err := b.js.UpdateStream(testContext(t), old); err != nil {
		t.Fatal(err)
	}
	b = open(t, s, Config{Shards: 4})
	got := info(t, b, "HUB_TELEMETRY")
	want := []string{"hub.telemetry.*", "hub.telemetry.*.*", "mine.>"}
	slices.Sort(got.Subjects)
	if !slices.Equal(got.Subjects, want) || got.Metadata["note"] != "mine" || got.Metadata[subject.SchemaKey] != "1" {
		t.Errorf("subjects %v, metadata %v", got.Subjects, got.Metadata)
	}
	if seen, _ := inOrder(t, everywhere(t, b)); len(seen) != 40 {
		t.Errorf("%d of 40 messages are left", len(seen))
	}
}

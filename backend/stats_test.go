package backend

import (
	"context"
	"testing"
	"time"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
)

// TestCensus counts the nodes of a hub while one comes, and dies.
func TestCensus(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), 0)
	a := join(t, s, "a")
	until(t, "a to see itself", func() bool { return a.Stats().Nodes[NodeUp] == 1 })
	b := join(t, s, "b")
	until(t, "both to be seen", func() bool { return a.Stats().Nodes[NodeUp] == 2 && b.Stats().Nodes[NodeUp] == 2 })
	b.die()
	until(t, "b to be repaired", func() bool {
		n := a.Stats().Nodes
		return n[NodeUp] == 1 && n[NodeRepaired] == 1 && n[NodeDead] == 0
	})
	if err := a.CheckNode(); err != nil {
		t.Error(err)
	}
	a.nodes.mu.Lock()
	a.nodes.fenced = true
	a.nodes.mu.Unlock()
	if err := a.CheckNode(); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("a node that was taken for dead: %v", err)
	}
}

// TestStatsAndSample looks at the numbers of a hub that has stored something.
func TestStatsAndSample(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, t.TempDir(), 0), Config{})
	r := newLedger(t)
	for i := range 10 {
		b.telemetry.Store(message(hub.Identity{Device: "d"}, uint64(i)), r, uint64(i))
	}
	until(t, "ten messages to be stored", func() bool { return b.Stats().Telemetry.Took.Count == 10 })
	stats := b.Stats()
	if e := stats.Telemetry; e.Stored != 10 || e.Failed != 0 || e.InFlight != 0 || !e.Flowing || e.MaxInFlight != defaultMaxInFlight || e.Took.Sum <= 0 {
		t.Errorf("%+v", e)
	}
	for _, c := range stats.Connections {
		if !c.Connected || c.Reconnects != 0 {
			t.Errorf("%+v", c)
		}
	}
	if len(stats.Connections) != 4 || len(stats.Feeds) != 3 || len(stats.C2DSettled) != 5 {
		t.Errorf("%d connections, %d feeds, %d results", len(stats.Connections), len(stats.Feeds), len(stats.C2DSettled))
	}
	until(t, "the index", func() bool { return b.CheckIndex() == nil })
	sample, err := b.Sample(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]StreamState{}
	for _, s := range sample.Streams {
		found[s.Name] = s
	}
	if s := found["HUB_TELEMETRY"]; s.Messages != 10 || s.Bytes == 0 || s.MaxBytes <= 0 || s.Replicas != 1 || s.Current != 1 {
		t.Errorf("%+v", s)
	}
	if len(found) != len(b.cfg.assets()) || sample.RTT <= 0 || len(sample.Behind) != 3 {
		t.Errorf("%d streams, %v, %v", len(found), sample.RTT, sample.Behind)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Sample(ctx); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("without time: %v", err)
	}
}

// TestRefusalCounts: what JetStream refuses keeps a node from being ready, until it
// stores something or a while is over.
func TestRefusalCounts(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, t.TempDir(), 0), Config{})
	e := b.telemetry.engines[0]
	note := func(code hub.Code) error {
		e.mu.Lock()
		e.noteRefusal(hub.Errorf(code, "as the test asks"))
		e.mu.Unlock()
		return b.CheckStore()
	}
	if err := note(hub.MessageTooLarge); err != nil {
		t.Errorf("a message that is too large: %v", err)
	}
	if err := note(hub.ServiceUnavailable); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("a message that JetStream does not want: %v", err)
	}
	e.mu.Lock()
	e.refusedAt -= int64(2 * refusalCounts)
	e.mu.Unlock()
	if err := b.CheckStore(); err != nil {
		t.Errorf("after a while: %v", err)
	}
	if err := note(hub.ServiceUnavailable); err == nil {
		t.Error("the next one does not count")
	}
	b.telemetry.Store(message(hub.Identity{Device: "d"}, 1), newLedger(t), 1)
	until(t, "a message to be stored", func() bool { return b.CheckStore() == nil })
}

func TestSettlements(t *testing.T) {
	t.Parallel()
	var s settlements
	s.add(c2d.Message{Enqueued: time.Now().Add(-time.Minute)}, c2d.Success)
	s.add(c2d.Message{}, c2d.Expired)
	if got := s.stats(); got[c2d.Success] != 1 || got[c2d.Expired] != 1 || got[c2d.Purged] != 0 || len(got) != 5 {
		t.Errorf("%v", got)
	}
	if got := s.took.Durations(); got.Count != 1 || got.Sum < 60 || got.Sum > 100 {
		t.Errorf("%+v: those count that were completed", got)
	}
}

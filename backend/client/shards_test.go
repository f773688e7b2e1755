package client_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

// dividing is a hub whose telemetry is divided while it is read.
type dividing struct {
	t *testing.T
	s *embedded.Server
}

func (d dividing) node(shards int) *backend.Backbone {
	d.t.Helper()
	b, err := backend.Connect(testContext(d.t), backend.Config{URL: d.s.URL(), CredsFile: d.s.GatewayCreds(), Shards: shards}, d.s.InProcess())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		b.Close(ctx)
	})
	return b
}

// Whoever reads telemetry goes on when it is divided into more streams, and misses
// nothing that is in the new ones; a durable consumer too, which was away meanwhile.
// The credentials of back-end apps are enough.
func TestConsumeOverShards(t *testing.T) {
	t.Parallel()
	const devices, each, shards = 12, 5, 4
	names := subject.Names{Shards: shards}
	s, err := embedded.Start(testContext(t), embedded.Config{DataDir: t.TempDir(), Backend: embedded.Rights(names.BackendRights())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown() })
	d := dividing{t, s}
	c, err := client.Connect(client.Options{URL: s.URL(), CredsFile: s.BackendCreds()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	offer := func(b *backend.Backbone) {
		for i := range devices {
			send(t, b, hub.Identity{Device: fmt.Sprint("dev-", i)}, each)
		}
	}
	offer(d.node(1))
	away := client.TelemetryOptions{Durable: "away", FromStart: true}
	take(t, c, away, devices*each)
	live := make(chan []client.Event, 1)
	started := make(chan struct{})
	go func() {
		var got []client.Event
		err := c.Consume(testContext(t), client.TelemetryOptions{FromStart: true}, func(e client.Event) error {
			if got = append(got, e); len(got) == devices*each {
				close(started)
			}
			if len(got) == 2*devices*each {
				return client.ErrStop
			}
			return nil
		})
		if err != nil {
			t.Errorf("Consume: %v", err)
		}
		live <- got
	}()
	<-started
	offer(d.node(shards))
	// The durable consumer was made with "from now on" in mind: what came meanwhile
	// in streams that did not exist then is new.
	away.FromStart = false
	for name, got := range map[string][]client.Event{"live": <-live, "durable": take(t, c, away, devices*each)} {
		seen, streams := map[string]int{}, map[string]bool{}
		for _, e := range got {
			streams[e.Stream] = true
			seen[fmt.Sprint(e.Stream, e.Sequence)]++
			if want := names.TelemetryShard(subject.Shard(e.From.Device, shards)); e.Stream != want && e.Stream != names.TelemetryStream() {
				t.Errorf("%s: a message of %s is in %s", name, e.From, e.Stream)
			}
		}
		if len(seen) != len(got) || len(streams) != shards {
			t.Errorf("%s: %d of %d messages are different ones, from %d streams", name, len(seen), len(got), len(streams))
		}
	}
}

package client_test

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/twin"
)

// wantFrom consumes until the last of n messages and checks that they begin
// with first and that none is missing.
func wantFrom(t *testing.T, c *client.Client, o client.TelemetryOptions, first, n uint64) {
	t.Helper()
	next := first
	err := c.Consume(testContext(t), o, func(e client.Event) error {
		if e.Sequence != next {
			t.Errorf("got message %d, want %d", e.Sequence, next)
		}
		if next = e.Sequence + 1; next > n {
			return client.ErrStop
		}
		return nil
	})
	if err != nil {
		t.Errorf("Consume: %v", err)
	}
}

// TestNothingIsLostByRestart stops a consumer to which many more messages were
// delivered than it has handled. With AckAll the next one must not acknowledge
// them unseen.
func TestNothingIsLostByRestart(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	const n = 2000
	send(t, b, hub.Identity{Device: "d"}, n)
	o := client.TelemetryOptions{Durable: "app", FromStart: true}
	take(t, c, o, 10)
	wantFrom(t, c, o, 11, n)
}

// TestNothingIsLostByCrash is the same for a process that dies with messages
// in hand, some of them in the middle of a delivery.
func TestNothingIsLostByCrash(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	const n = 1000
	send(t, b, hub.Identity{Device: "d"}, n)
	o := client.TelemetryOptions{Durable: "app", FromStart: true}
	take(t, c, o, 1)
	dead, err := b.JetStream().Consumer(testContext(t), "HUB_TELEMETRY", "app")
	if err != nil {
		t.Fatal(err)
	}
	batch, err := dead.Fetch(300, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() { // delivered, and never acknowledged
		continue
	}
	wantFrom(t, c, o, 2, n)
}

// TestGapInDelivery takes messages away from a running consumer, as a
// connection that breaks does: it goes back for them.
func TestGapInDelivery(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	const n = 1500 // more than a consumer has in hand at once
	send(t, b, hub.Identity{Device: "d"}, n)
	o := client.TelemetryOptions{Durable: "app", FromStart: true}
	seen := map[uint64]bool{}
	err := c.Consume(testContext(t), o, func(e client.Event) error {
		if len(seen) == 1 {
			thief, err := b.JetStream().Consumer(testContext(t), "HUB_TELEMETRY", "app")
			if err != nil {
				return err
			}
			stolen, err := thief.Fetch(50, jetstream.FetchMaxWait(5*time.Second))
			if err != nil {
				return err
			}
			for range stolen.Messages() {
				continue
			}
		}
		seen[e.Sequence] = true
		if len(seen) == n {
			return client.ErrStop
		}
		return nil
	})
	if err != nil {
		t.Errorf("Consume: %v, after %d of %d messages", err, len(seen), n)
	}
}

// awaited reports whether somebody waits for the next message of a stream.
func awaited(ctx context.Context, b *backend.Backbone, stream string) bool {
	s, err := b.JetStream().Stream(ctx, stream)
	if err != nil {
		return false
	}
	for c := range s.ListConsumers(ctx).Info() {
		if c.NumWaiting > 0 {
			return true
		}
	}
	return false
}

// TestNothingNewIsLost cuts the connection of an app that follows what is new and has
// not heard of anything yet: what happens meanwhile comes when the connection is back.
func TestNothingNewIsLost(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s, b := runHub(t)
	link := newCable(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port())))
	c, err := client.Connect(client.Options{
		URL: "nats://" + link.ln.Addr().String(), CredsFile: s.HubCreds(),
		NATS: []nats.Option{nats.IgnoreDiscoveredServers(), nats.ReconnectWait(10 * time.Millisecond)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	id := hub.Identity{Device: "dev1"}
	if _, err := (&identity.Registry{Store: b.Devices()}).Create(ctx, identity.Record{ID: id}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() {
		ended <- c.Twins().Watch(ctx, client.TwinOptions{}, func(client.TwinEvent) error { return client.ErrStop })
	}()
	go func() {
		ended <- c.Consume(ctx, client.TelemetryOptions{}, func(client.Event) error { return client.ErrStop })
	}()
	for _, stream := range []string{c.Names().EventsStream(), c.Names().TelemetryStream()} {
		eventually(t, "the app follows "+stream, func() bool { return awaited(ctx, b, stream) })
	}
	link.pull()
	eventually(t, "the connection is lost", func() bool { return !c.Conn().IsConnected() })
	if _, err := (&twin.Twins{Store: b.Twins()}).Update(ctx, id, twin.Write{Body: []byte(`{"tags":{"a":1}}`)}); err != nil {
		t.Fatal(err)
	}
	send(t, b, id, 1)
	eventually(t, "the event is stored", func() bool {
		info, err := b.JetStream().Stream(ctx, c.Names().EventsStream())
		return err == nil && info.CachedInfo().State.Msgs > 0
	})
	link.plug()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

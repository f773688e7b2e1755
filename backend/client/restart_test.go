package client_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
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

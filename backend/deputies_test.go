package backend

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// deliverTo has the server deliver the messages of the stream of telemetry to a
// subject, in both ways that somebody has who may read it and nothing else.
func deliverTo(t *testing.T, b *Backbone, to string) {
	t.Helper()
	cfg := jetstream.ConsumerConfig{DeliverSubject: to, AckPolicy: jetstream.AckNonePolicy}
	if _, err := b.JetStream().CreatePushConsumer(testContext(t), "HUB_TELEMETRY", cfg); err != nil {
		t.Fatal(err)
	}
	get := nats.NewMsg("$JS.API.DIRECT.GET.HUB_TELEMETRY")
	get.Reply, get.Data = to, []byte(`{"seq":1}`)
	if err := b.Conn().PublishMsg(get); err != nil {
		t.Fatal(err)
	}
	// What was delivered is before this on the way to whoever subscribes.
	if _, err := b.JetStream().Stream(testContext(t), "HUB_TELEMETRY"); err != nil {
		t.Fatal(err)
	}
}

// telemetryStored stores a message in the stream of telemetry.
func telemetryStored(t *testing.T, b *Backbone, body string) {
	t.Helper()
	m := message(device(1), tagOf(1, 1))
	m.Body = []byte(body)
	l := newLedger(t)
	b.Telemetry().Store(m, l, 1)
	l.wait(1)
}

// Who may read a stream has JetStream deliver it as if it were calls of devices:
// nobody has asked, and no device is called.
func TestStreamsCallNoDevice(t *testing.T) {
	t.Parallel()
	n := startNode(t, serve(t, "", 0), "a")
	create(t, n.Backbone, device(1))
	telemetryStored(t, n.Backbone, `1`)
	var called atomic.Int32
	n.connect(t, device(1), func(_ context.Context, c methods.Call) (methods.Answer, error) {
		if c.Method != "asked" {
			called.Add(1)
		}
		return methods.Answer{Status: 200}, nil
	})
	deliverTo(t, n.Backbone, "hub.method.dev-1.reboot")
	askOn(t, n.Backbone, "hub.method.dev-1.asked", "")
	if err := n.service.Stop(); err != nil { // every call that was begun is over
		t.Fatal(err)
	}
	if got := called.Load(); got != 0 {
		t.Errorf("the device was called %d times", got)
	}
}

// A command that waits is not cancelled either.
func TestStreamsCancelNothing(t *testing.T) {
	t.Parallel()
	n := startNode(t, serve(t, "", 0), "a")
	create(t, n.Backbone, device(1))
	receipt := askOn(t, n.Backbone, "hub.method.dev-1.m", "", methods.HeaderWait, "1h")
	id := receipt.Header.Get(methods.HeaderCommandID)
	telemetryStored(t, n.Backbone, `{"id":"`+id+`"}`)
	deliverTo(t, n.Backbone, "hub.command.cancel.dev-1")
	askOn(t, n.Backbone, "hub.command.cancel.dev-1", `{"id":""}`) // behind it
	if err := n.service.Stop(); err != nil {
		t.Fatal(err)
	}
	c, err := n.service.Queue.Commands.Get(testContext(t), device(1), id)
	if err != nil || c.State != methods.Pending {
		t.Errorf("the command is %q, %v", c.State, err)
	}
}

// frontEnd is a node's that is not drained.
type frontEnd struct{ drained atomic.Int32 }

func (f *frontEnd) Drain(time.Duration) { f.drained.Add(1) }
func (f *frontEnd) State() (int, bool)  { return 0, false }

// Nor is a node drained.
func TestStreamsDrainNoNode(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{Node: "a"})
	telemetryStored(t, b, `{"over":"0s"}`)
	f := &frontEnd{}
	stop, err := b.ServeDrain(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	deliverTo(t, b, "hub.session.drain.a")
	askOn(t, b, "hub.session.drain.a", `{"over":"x"}`) // behind it, and no order
	if got := f.drained.Load(); got != 0 {
		t.Errorf("the node was drained %d times", got)
	}
}

// Nor is a session claimed for another node, which would end the connection of its
// device.
func TestStreamsClaimNothing(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	telemetryStored(t, b, `{"epoch":1000,"node":"x","connection":"y"}`)
	heard := make(chan session.Claim, 10)
	watching := watched(t, func(ctx context.Context) error {
		return b.Sessions().Watch(ctx, func(c session.Claim) { heard <- c })
	})
	until(t, "claims are heard of", func() bool { return claimedBy(t, b, "here", heard) })
	deliverTo(t, b, "hub.session.claimed.dev-1")
	until(t, "those behind them are heard of", func() bool { return claimedBy(t, b, "behind", heard) })
	watching()
	for len(heard) > 0 {
		if c := <-heard; c.Node == "x" {
			t.Errorf("a stream has claimed %+v", c)
		}
	}
}

// claimedBy claims a session for a node, and reports whether that is heard of. A
// claim for the node x fails the test.
func claimedBy(t *testing.T, b *Backbone, node string, heard <-chan session.Claim) bool {
	t.Helper()
	if _, _, err := b.Sessions().Claim(testContext(t), session.Session{ID: device(1), Node: node}); err != nil {
		t.Fatal(err)
	}
	soon := time.After(time.Second)
	for {
		select {
		case c := <-heard:
			if c.Node == "x" {
				t.Errorf("a stream has claimed %+v", c)
			}
			if c.Node == node {
				return true
			}
		case <-soon:
			return false
		}
	}
}

// watched watches until the returned function is called.
func watched(t *testing.T, watch func(context.Context) error) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	ended := make(chan error, 1)
	go func() { ended <- watch(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// Nor does a device get desired properties that nobody has written.
func TestStreamsWriteNoTwin(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	create(t, b, device(1))
	telemetryStored(t, b, `{"revision":1000,"version":2,"patch":{"valve":"open"}}`)
	heard := make(chan twin.Announcement, 100)
	watching := watched(t, func(ctx context.Context) error {
		return b.Twins().Watch(ctx, func(a twin.Announcement) { heard <- a }, func() {})
	})
	defer watching()
	var delivered bool
	until(t, "a write behind them is heard of", func() bool {
		last := mustUpdate(t, b, device(1), twin.Write{Body: []byte(`{"tags":{"a":1}}`)})
		soon := time.After(time.Second)
		for {
			select {
			case a := <-heard:
				if a.Revision == 1000 {
					t.Errorf("a stream has written %+v", a)
				}
				if a.Revision != last.Revision {
					continue
				}
				if delivered {
					return true
				}
				deliverTo(t, b, "hub.session.twin.dev-1")
				delivered = true
				return false
			case <-soon:
				return false
			}
		}
	})
}

package backend

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/telemetry"
)

// hasReplicas asserts that every stream of the hub has n replicas, and in the end
// followers that are current.
func (c *cluster) hasReplicas(b *Backbone, n int) {
	c.tb.Helper()
	c.haveReplicas(b, n, b.names.Streams()...)
}

// haveReplicas is hasReplicas of some streams.
func (c *cluster) haveReplicas(b *Backbone, n int, streams ...string) {
	c.tb.Helper()
	for _, name := range streams {
		until(c.tb, name+" has "+strconv.Itoa(n)+" replicas", func() bool {
			s, err := lookUp(c.tb, b, name)
			if err != nil {
				return false
			}
			info := s.CachedInfo()
			if info.Config.Replicas != n {
				c.tb.Fatalf("%s has %d replicas, want %d", name, info.Config.Replicas, n)
			}
			current := 0
			for _, peer := range info.Cluster.Replicas {
				if peer.Current {
					current++
				}
			}
			return current == n-1
		})
	}
}

// The replicas are those that are asked for, and follow the configuration of the
// node that has started last. What is in the streams stays.
func TestReplicasFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.ready()
	first := c.join(Config{})
	c.hasReplicas(first, 1)
	l := newLedger(t)
	offer(first.Telemetry(), l, 4, 50)
	l.wait(200)
	for _, n := range []int{3, 1, 3} {
		b := c.join(Config{Replicas: n})
		c.hasReplicas(b, n)
		offerFrom(b.Telemetry(), l, 4, 50, l.len())
		l.wait(l.len())
	}
	c.hasReplicas(c.join(Config{}), 3) // who names no number leaves it
	stored, codes := l.check()
	if len(stored) != l.len() {
		t.Errorf("codes = %v, want all stored", codes)
	}
	seen, _ := inOrder(t, contents(t, first.js, "HUB_TELEMETRY"))
	holds(t, seen, stored)
	_, err := Connect(testContext(t), Config{URL: c.url(), Prefix: "five", Replicas: 5})
	if err == nil || !hasAll(err.Error(), "not enough NATS servers for 5 replicas", "lower the number of replicas or add servers") {
		t.Errorf("with five replicas: %v", err)
	}
}

// Five replicas outlive two servers, and the dead node's sessions are repaired
// meanwhile.
func TestFiveReplicasLoseTwo(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 5)
	c.ready()
	alive := &peer{Backbone: c.join(Config{Node: "a", NodeTimeout: 2 * soon, Replicas: 5})}
	c.hasReplicas(alive.Backbone, 5)
	dead := &peer{Backbone: c.join(Config{Node: "b", NodeTimeout: 2 * soon})}
	for _, p := range []*peer{alive, dead} {
		if err := p.nodes.Join(testContext(t), p); err != nil {
			t.Fatal(err)
		}
	}
	v := dead.connects(t, "d", "b1", "bye")
	l := newLedger(t)
	offer(alive.Telemetry(), l, 4, 50)
	l.wait(200)
	dead.die()
	c.stop(0)
	c.stop(1)
	offerFrom(alive.Telemetry(), l, 4, 50, 50)
	l.wait(400)
	until(t, "the node is repaired", func() bool { return alive.record(t, "b").State == NodeRepaired })
	if got, want := alive.told(t, "d"), pair(v, hub.ServiceUnavailable); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	until(t, "the will is sent", func() bool { return len(alive.wills(t, "d")) == 1 })
	stream, err := alive.js.Stream(testContext(t), alive.names.TelemetryStream())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(testContext(t), jetstream.WithPurgeSubject(alive.names.Telemetry(v.ID))); err != nil { // it is in no ledger
		t.Fatal(err)
	}
	c.start(0)
	c.start(1)
	// Into others nothing is written, and NATS was seen not to call a replica of one
	// current again within a minute.
	c.haveReplicas(alive.Backbone, 5, alive.names.TelemetryStream())
	stored, _ := l.check()
	if len(stored) != 400 {
		t.Errorf("%d of 400 were stored", len(stored))
	}
	seen, _ := inOrder(t, contents(t, alive.js, "HUB_TELEMETRY"))
	holds(t, seen, stored)
}

// offerFrom is offer with numbers from a multiple of count on.
func offerFrom(e telemetry.Sink, l *ledger, devices, count, from int) {
	var wg sync.WaitGroup
	for d := range devices {
		wg.Go(func() {
			for i := range count {
				tag := tagOf(d, from+i)
				e.Store(message(device(d), tag), l, tag)
			}
		})
	}
	wg.Wait()
}

// lines is a log that several goroutines write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// A node that finds no quorum, or nobody at all, waits for it, says so, and then
// has everything that was stored.
func TestStartWaitsForAQuorum(t *testing.T) {
	t.Parallel()
	for name, left := range map[string]int{"one of three": 1, "none of three": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3)
			c.ready()
			b := c.join(Config{Replicas: 3})
			c.hasReplicas(b, 3)
			l := newLedger(t)
			offer(b.Telemetry(), l, 2, 20)
			l.wait(40)
			stored, _ := l.check()
			shut(b)
			for i := left; i < 3; i++ {
				c.stop(i)
			}
			var log lines
			ready := make(chan *Backbone)
			go func() {
				b, err := Connect(testContext(t), Config{URL: c.url(), Patience: testTimeout, Log: zerolog.New(&log)})
				if err != nil {
					t.Errorf("Connect: %v", err)
				}
				ready <- b
			}()
			until(t, "the node says that it waits", func() bool { return log.count("NATS is not ready") > 0 })
			select {
			case <-ready:
				t.Fatal("it is ready without a quorum")
			default:
			}
			for i := left; i < 3; i++ {
				c.start(i)
			}
			b = <-ready
			if b == nil {
				return
			}
			defer shut(b)
			if n := log.count("NATS is not ready"); n > 4 {
				t.Errorf("the node says %d times that it waits:\n%s", n, log.buf.String())
			}
			seen, _ := inOrder(t, contents(t, b.js, "HUB_TELEMETRY"))
			holds(t, seen, stored)
		})
	}
}

// Who waits gives up when it is time, and at once when waiting can't help.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	cfg := Config{URL: "nats://127.0.0.1:1", Patience: reconnectMin}
	_, err := Connect(testContext(t), cfg)
	if err == nil || !hasAll(err.Error(), "nats.wait", "no NATS server answers") {
		t.Errorf("Connect = %v", err)
	}
	s := serve(t, "", 0)
	fails(t, s, Config{Patience: testTimeout, Replicas: 3}, "not enough NATS servers")
}

// In a cluster no answer of a store comes from a direct get, which a replica may
// give that is behind.
func TestNodesReadFromLeaders(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.ready()
	b := c.join(Config{Replicas: 3})
	ctx := testContext(t)
	nc, _ := c.client()
	asked := make(chan string, 1000)
	if _, err := nc.Subscribe("$JS.API.DIRECT.GET.>", func(m *nats.Msg) { asked <- m.Subject }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	registry := &identity.Registry{Store: b.Devices(), Events: b.Events()}
	queue, err := openC2D(ctx, b.js, b.names)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		id := device(i % 3)
		if _, err := registry.Create(ctx, identity.Record{ID: id}); err != nil {
			t.Fatalf("create %s: %v", id, err)
		}
		if _, err := b.Devices().Get(ctx, id); err != nil {
			t.Fatalf("get %s after its creation: %v", id, err)
		}
		if _, err := b.Twins().Get(ctx, id); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Sessions().Get(ctx, id); err != nil {
			t.Fatal(err)
		}
		ack, err := b.js.Publish(ctx, b.names.C2D(id.Device), []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := queue.Next(ctx, id.Device, 0)
		if err != nil || m.Sequence != ack.Sequence {
			t.Fatalf("next = %d, %v, want %d", m.Sequence, err, ack.Sequence)
		}
		if err := queue.Remove(ctx, m.Sequence); err != nil {
			t.Fatal(err)
		}
		if m, err := queue.Next(ctx, id.Device, 0); err != nil || m.Sequence != 0 {
			t.Fatalf("a removed message is there: %+v, %v", m, err)
		}
		if err := queue.Save(ctx, id.Device, c2d.State{}); err != nil && hub.CodeOf(err) != hub.PreconditionFailed {
			t.Fatal(err)
		}
		if err := registry.Delete(ctx, id, "*"); err != nil {
			t.Fatalf("delete %s: %v", id, err)
		}
		if _, err := b.Devices().Get(ctx, id); hub.CodeOf(err) != hub.DeviceNotFound {
			t.Fatalf("get %s after its deletion: %v", id, err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case subject := <-asked:
		t.Errorf("a node asked on %s", subject)
	default:
	}
}

// Who has read all that one replica has may not have read all.
func TestReplicaBehindIsNoticed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.ready()
	b := c.join(Config{Replicas: 3})
	ctx := testContext(t)
	bucket := b.Devices().bucket
	var last uint64
	for i := range 3 {
		var err error
		if last, err = bucket.create(ctx, "k"+strconv.Itoa(i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := bucket.behind(ctx, last, last); !errors.Is(err, errBehind) {
		t.Errorf("without the last one: %v", err)
	}
	if err := bucket.behind(ctx, last, last-1); err != nil {
		t.Errorf("without what came later: %v", err)
	}
	if err := bucket.behind(ctx, last+1, last+1); err != nil {
		t.Errorf("with all: %v", err)
	}
}

package backend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/telemetry"
	"github.com/hubgate/hubgate/twin"
)

const (
	// ownershipSeed and ownershipTime choose another run, and a longer one.
	ownershipSeed = "OWNERSHIP_SEED"
	ownershipTime = "OWNERSHIP_TIME"

	contested      = 3 // devices
	rivals         = 3 // that connect as the same device, at a node
	contestTime    = 6 * time.Second
	rivalPatience  = 400 * time.Millisecond // for one operation
	rivalMaxWrites = 6                      // of a connection
)

// contest is many connections at two nodes that all want to be the same few
// devices, while the network between the nodes and NATS is bad: so bad that a node
// is held for dead now and then, and its sessions are repaired. Nobody tells a
// connection that it was replaced: what it may not do it must be refused.
type contest struct {
	t     *testing.T
	nodes []*peer
	seed  uint64

	clock atomic.Uint64 // orders beginnings and ends of operations
	count atomic.Uint64

	mu       sync.Mutex
	acts     []act
	repaired int
	// farewells are the connections whose clients have said DISCONNECT; it may be
	// stored later, when the test does not hear of it.
	farewells map[string]bool
}

// act is an operation that was acknowledged.
type act struct {
	kind       string // claim, save, release, get or patch
	id         hub.Identity
	epoch      uint64
	revision   uint64 // that it has made; of get and patch 0
	began, end uint64

	session session.Session // as it was stored
	present bool
	filter  string   // of a save
	code    hub.Code // of a release
	version int64    // of a patch
	key     string   // of a patch
}

// TestOneOwnerWrites lets two nodes fight over a few devices in bad weather, and
// compares what each was told with what the buckets went through.
func TestOneOwnerWrites(t *testing.T) {
	t.Parallel()
	c := &contest{t: t, farewells: map[string]bool{}, seed: uint64(time.Now().UnixNano())}
	length := contestTime
	if text := os.Getenv(ownershipSeed); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.seed = seed
	}
	if text := os.Getenv(ownershipTime); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		length = d
	}
	t.Logf("the seed is %d: %s=%d", c.seed, ownershipSeed, c.seed)

	server := serve(t, "", 0)
	calm := join(t, server, "calm")
	var skies []*weather
	for i := range 2 {
		w, natsURL := newWeather(t, server)
		cfg := Config{URL: natsURL, CredsFile: server.HubCreds(), Node: fmt.Sprintf("n%d", i+1), NodeTimeout: soon}
		b, err := Connect(testContext(t), cfg)
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{Backbone: b}
		if err := b.nodes.Join(testContext(t), p); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shut(b) })
		skies, c.nodes = append(skies, w), append(c.nodes, p)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.describe(calm)
		}
	})
	keepHistory(t, calm.Backbone)
	for d := range contested {
		create(t, calm.Backbone, device(d))
	}
	c.run(skies, length)
	for _, w := range skies {
		w.close() // both nodes are gone for the others, with all that they still owe
	}
	for d := range contested {
		until(t, "the last connection of "+device(d).Device+" is ended", func() bool { return !calm.session(t, device(d).Device).Connected })
	}
	c.judge(calm)
}

// describe shows what there is in the end.
func (c *contest) describe(calm *peer) {
	c.t.Helper()
	c.t.Logf("acknowledged: %v", c.counts())
	for _, p := range c.nodes {
		c.t.Logf("node %s: fenced %d times, usurped %v, %+v", p.cfg.Node, p.fenced.Load(), p.usurped.Load(), calm.record(c.t, p.cfg.Node))
	}
	for d := range contested {
		c.t.Logf("session of %s: %+v", device(d).Device, calm.session(c.t, device(d).Device))
	}
}

// run lets everybody fight for a time, and on in good weather until something of each
// kind was acknowledged: a busy machine may need longer.
func (c *contest) run(skies []*weather, length time.Duration) {
	var wg sync.WaitGroup
	defer wg.Wait()
	over, stop := context.WithCancel(context.Background())
	defer stop()
	stormy, calm := context.WithCancel(over)
	defer calm()
	for i, w := range skies {
		wg.Go(func() { w.storm(stormy, rand.New(rand.NewPCG(c.seed, uint64(i)))) })
	}
	for n, b := range c.nodes {
		for d := range contested {
			for i := range rivals {
				r := rand.New(rand.NewPCG(c.seed, uint64(1000+n*100+d*10+i)))
				wg.Go(func() { c.compete(over, b.Backbone, device(d), r) })
			}
		}
	}
	if wait(c.t.Context(), length); !c.complete() {
		calm()
	}
	until(c.t, "something of each kind is acknowledged", c.complete)
}

// counts is how many operations of each kind were acknowledged.
func (c *contest) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := map[string]int{}
	for _, a := range c.acts {
		counts[a.kind]++
	}
	return counts
}

// complete reports whether a claim, a save, a release and a patch were acknowledged.
func (c *contest) complete() bool {
	n := c.counts()
	return n["claim"] > 0 && n["save"] > 0 && n["release"] > 0 && n["patch"] > 0
}

// compete connects again and again.
func (c *contest) compete(over context.Context, b *Backbone, id hub.Identity, r *rand.Rand) {
	twins := twinsOf(b)
	for over.Err() == nil {
		v, ok := c.claim(b, id, r)
		if !ok {
			wait(over, between(r, 5, 50))
			continue
		}
		owner := twin.Owner{Generation: "1", Epoch: v.Epoch, Contested: v.Contested}
		replica := twins.Open(id, owner, func(twin.Notification) bool { return true })
		for range r.IntN(rivalMaxWrites) {
			wait(over, between(r, 1, 60))
			switch r.IntN(5) {
			case 0, 1:
				c.save(b, &v)
			case 2:
				c.get(replica, v)
			default:
				c.patch(replica, id, v.Epoch)
			}
		}
		switch r.IntN(4) {
		case 0: // it is gone without a word
		case 1:
			c.release(b, &v, 0)
		default:
			c.release(b, &v, hub.ConnectionLost)
		}
	}
}

// try does one operation, and notes it when it was acknowledged. It returns the
// error.
func (c *contest) try(a act, do func(ctx context.Context, a *act) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), rivalPatience)
	defer cancel()
	a.began = c.clock.Add(1)
	err := do(ctx, &a)
	a.end = c.clock.Add(1)
	if err == nil {
		c.mu.Lock()
		c.acts = append(c.acts, a)
		c.mu.Unlock()
	}
	return err
}

func (c *contest) claim(b *Backbone, id hub.Identity, r *rand.Rand) (v session.Session, ok bool) {
	next := session.Session{
		ID: id, Generation: "1", Persistent: r.IntN(8) > 0, Connected: true,
		Node: b.cfg.Node, Connection: fmt.Sprintf("c%d", c.count.Add(1)), Remote: "192.0.2.1:1",
	}
	next.Will = &session.Will{Headers: [][2]string{{telemetry.HeaderDeviceID, id.Device}}, Body: []byte(next.Connection)}
	err := c.try(act{kind: "claim", id: id}, func(ctx context.Context, a *act) (err error) {
		v, a.present, err = b.Sessions().Claim(ctx, next)
		a.session, a.epoch, a.revision = v, v.Epoch, v.Revision
		a.session.Subscriptions = slices.Clone(v.Subscriptions) // the connection goes on to change its own
		return err
	})
	return v, err == nil
}

func (c *contest) save(b *Backbone, v *session.Session) {
	filter := fmt.Sprintf("f/%d", c.count.Add(1))
	before := slices.Clone(v.Subscriptions)
	v.Subscribe(session.Subscription{Filter: filter, QoS: 1})
	err := c.try(act{kind: "save", id: v.ID, epoch: v.Epoch, filter: filter}, func(ctx context.Context, a *act) error {
		err := b.Sessions().Save(ctx, v)
		a.revision = v.Revision
		return err
	})
	if err != nil { // a connection ends here; this one goes on as if it had not noticed
		v.Subscriptions = before
	}
}

func (c *contest) release(b *Backbone, v *session.Session, code hub.Code) {
	v.Code, v.Reason, v.DisconnectedTime = code, "as the test asks", time.Now()
	if code == 0 {
		c.mu.Lock()
		c.farewells[v.Connection] = true
		c.mu.Unlock()
	}
	_ = c.try(act{kind: "release", id: v.ID, epoch: v.Epoch, code: code}, func(ctx context.Context, a *act) error {
		err := b.Sessions().Release(ctx, v)
		a.revision = v.Revision
		return err
	})
}

// get reads the twin. It is noted when it has to keep older connections from
// writing what was read.
func (c *contest) get(replica *twin.Copy, v session.Session) {
	if !v.Contested {
		return
	}
	_ = c.try(act{kind: "get", id: v.ID, epoch: v.Epoch}, func(ctx context.Context, _ *act) error {
		return replica.Device(ctx, func([]byte) {})
	})
}

func (c *contest) patch(replica *twin.Copy, id hub.Identity, epoch uint64) {
	key := fmt.Sprintf("k%d", c.count.Add(1))
	_ = c.try(act{kind: "patch", id: id, epoch: epoch, key: key}, func(ctx context.Context, a *act) (err error) {
		a.version, err = replica.PatchReported(ctx, fmt.Appendf(nil, `{%q:%d,"last":%d}`, key, epoch, epoch), 0)
		return err
	})
}

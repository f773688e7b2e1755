package jobs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

// fleet is the devices of a test: which there are, and what was done to them.
type fleet struct {
	mu      sync.Mutex
	devices []hub.Identity
	deleted map[hub.Identity]bool
	offline map[hub.Identity]bool
	calls   map[hub.Identity]int
	patched map[hub.Identity]int
	rand    *rand.Rand
	trouble float64 // how many updates fail for a moment
	longest time.Duration
	answer  []byte // of a method
	changes bool   // the condition selects another device each time that it is asked
	asked   int
}

func newFleet(n int, seed uint64) *fleet {
	f := &fleet{
		deleted: map[hub.Identity]bool{}, offline: map[hub.Identity]bool{}, calls: map[hub.Identity]int{}, patched: map[hub.Identity]int{},
		rand: rand.New(rand.NewPCG(seed, 7)), longest: 100 * time.Millisecond, answer: []byte(`{"ok":true}`), //nolint:gosec // a test
	}
	for i := range n {
		f.devices = append(f.devices, hub.Identity{Device: "dev-" + strconv.Itoa(i)})
	}
	return f
}

func (f *fleet) Each(ctx context.Context, condition string, visit func(hub.Identity) bool) error {
	if condition == "bad" {
		return hub.Errorf(hub.ArgumentInvalid, "line 1, column 1: it is bad")
	}
	f.mu.Lock()
	devices := f.devices
	if f.changes {
		f.asked++
		devices = append([]hub.Identity{{Device: "asked-" + strconv.Itoa(f.asked)}}, devices...)
	}
	f.mu.Unlock()
	for _, id := range devices {
		if f.changes {
			_, after := f.chance(0)
			wait(ctx, after/10)
		}
		if ctx.Err() != nil {
			return hub.Errorf(hub.GatewayTimeout, "it is over: %w", ctx.Err())
		}
		if !visit(id) {
			return nil
		}
	}
	return nil
}

// chance draws what becomes of an action.
func (f *fleet) chance(limit float64) (failed bool, after time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rand.Float64() < limit, time.Duration(f.rand.Int64N(int64(f.longest)))
}

func (f *fleet) Check(*jobs.Job) error { return nil }

// at is the fleet as one node reaches it: not at all when that is dead.
type at struct {
	*fleet

	link *link
}

func (a at) UpdateTwin(ctx context.Context, id hub.Identity, _ jobs.Write) error {
	failed, after := a.chance(a.trouble)
	wait(ctx, after)
	if failed || ctx.Err() != nil || a.link.isDead() {
		return errAway()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.deleted[id] {
		return hub.Errorf(hub.DeviceNotFound, "there is no device %s", id)
	}
	a.patched[id]++
	return nil
}

func (a at) InvokeMethod(ctx context.Context, id hub.Identity, _ jobs.Method) (int, []byte, error) {
	if a.link.isDead() {
		return 0, nil, errAway()
	}
	a.mu.Lock()
	offline := a.offline[id]
	if !offline {
		a.calls[id]++
	}
	a.mu.Unlock()
	_, after := a.chance(0)
	wait(ctx, after)
	switch {
	case offline:
		return 0, nil, hub.Errorf(hub.DeviceNotOnline, "%s is away", id)
	case ctx.Err() != nil:
		return 0, nil, hub.Errorf(hub.GatewayTimeout, "nobody waits any more: %w", ctx.Err())
	default:
		return 200, a.answer, nil
	}
}

// node is a runner that can be killed.
type node struct {
	link *link
	jobs *jobs.Jobs
	stop context.CancelFunc
	done chan struct{}
}

// world is some nodes on one hub.
type world struct {
	t     *testing.T
	hub   *hubOf
	fleet *fleet
	rand  *rand.Rand
	names int
	limit jobs.Limits
}

func newWorld(t *testing.T, devices int, seed uint64) *world {
	t.Helper()
	return &world{
		t: t, hub: newHub(t), fleet: newFleet(devices, seed), rand: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // a test
		limit: jobs.Limits{InFlight: 5},
	}
}

// node starts a node some of whose operations fail.
func (w *world) node(faults float64) *node {
	w.names++
	l := &link{hubOf: w.hub, rand: rand.New(rand.NewPCG(w.rand.Uint64(), 2)), rate: faults} //nolint:gosec // a test
	ctx, stop := context.WithCancel(context.Background())
	n := &node{link: l, jobs: &jobs.Jobs{Store: l, Limits: w.limit}, stop: stop, done: make(chan struct{})}
	a := at{w.fleet, l}
	r := &jobs.Runner{Jobs: n.jobs, Node: fmt.Sprintf("node-%d", w.names), Rows: l, Targets: w.fleet, Actions: a}
	go func() {
		defer close(n.done)
		if err := r.Run(ctx); err != nil {
			w.t.Errorf("the runner ends: %v", err)
		}
	}()
	return n
}

// kill ends a node without a chance to say so.
func (n *node) kill() {
	n.link.kill()
	n.stop()
}

func (w *world) job(id string) jobs.Job {
	w.t.Helper()
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	j, err := w.hub.read(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// settled waits until the job needs no more work.
func (w *world) settled(id string, limit time.Duration) jobs.Job {
	w.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); wait(context.Background(), time.Second) {
		if j := w.job(id); j.Settled {
			return j
		}
	}
	w.t.Fatalf("the job is not done after %v: %+v", limit, w.job(id))
	return jobs.Job{}
}

// check holds the rows against the statistics, and against what was done.
func (w *world) check(id string, j jobs.Job) {
	w.t.Helper()
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	var s jobs.Statistics
	for _, r := range w.hub.rows[id] {
		s.Devices++
		switch r.Status {
		case jobs.RowCompleted:
			s.Succeeded++
			w.done(r)
		case jobs.RowFailed, jobs.RowCanceled:
			s.Failed++
			if r.Status == jobs.RowCanceled && w.fleet.calls[r.For] > 0 {
				w.t.Errorf("the row of %s is cancelled, and the device was called", r.For)
			}
		case jobs.RowPending, jobs.RowRunning:
			w.t.Errorf("the row of %s is still %s", r.For, r.Status)
		}
	}
	if s != j.Statistics {
		w.t.Errorf("the job says %+v, the rows %+v", j.Statistics, s)
	}
	for id, n := range w.fleet.calls {
		if n > 1 {
			w.t.Errorf("%s was called %d times", id, n)
		}
	}
}

// done checks that a row which says so is done.
func (w *world) done(r jobs.Row) {
	if r.Type == jobs.UpdateTwin && w.fleet.patched[r.For] == 0 || r.Type == jobs.InvokeMethod && w.fleet.calls[r.For] != 1 {
		w.t.Errorf("the row of %s is %s; patched %d times, called %d times", r.For, r.Status, w.fleet.patched[r.For], w.fleet.calls[r.For])
	}
}

const (
	twinBody   = `{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":1}},"queryCondition":"*","maxExecutionTimeInSeconds":86400}`
	methodBody = `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"},"queryCondition":"*","maxExecutionTimeInSeconds":86400}`
)

func (w *world) put(id, body string) {
	w.t.Helper()
	j, err := jobs.Parse(id, []byte(body), time.Now())
	if err == nil {
		err = (&link{hubOf: w.hub}).Create(w.t.Context(), &j)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// Nodes that die and come back, and a NATS that fails, change nothing of what a
// job does: no device is called twice, no row is lost, the numbers add up.
func TestRunnersSurvive(t *testing.T) {
	t.Parallel()
	seeds := 80
	if s, err := strconv.Atoi(os.Getenv("HUBGATE_JOB_SEEDS")); err == nil {
		seeds = s
	}
	for seed := range uint64(seeds) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { survive(t, seed) })
		})
	}
}

func survive(t *testing.T, seed uint64) {
	w := newWorld(t, int(seed*7%60), seed)
	w.fleet.trouble = 0.1
	w.fleet.longest, w.fleet.changes = 3*time.Second, true
	for i, id := range w.fleet.devices {
		w.fleet.deleted[id], w.fleet.offline[id] = i%11 == 3, i%13 == 5
	}
	w.put("twin", twinBody)
	w.put("method", methodBody)
	nodes := []*node{w.node(0.1), w.node(0.1)}
	for range 8 {
		wait(t.Context(), time.Duration(w.rand.IntN(20_000))*time.Millisecond)
		i := w.rand.IntN(len(nodes))
		w.harm(nodes[i])
		if w.rand.IntN(3) == 0 {
			wait(t.Context(), time.Duration(w.rand.IntN(30))*time.Second)
		}
		nodes[i].kill()
		nodes[i] = w.node(0.1)
	}
	for _, id := range []string{"twin", "method"} {
		j := w.settled(id, time.Hour)
		if j.Status != jobs.Completed || j.Statistics.Devices != len(w.fleet.devices)+1 {
			t.Errorf("the job %s is %s (%s) with %+v, of %d devices", id, j.Status, j.Failure, j.Statistics, len(w.fleet.devices)+1)
		}
		w.check(id, j)
	}
	for _, id := range w.fleet.devices {
		if w.fleet.deleted[id] == (w.fleet.patched[id] > 0) {
			t.Errorf("%s was patched %d times, deleted %v", id, w.fleet.patched[id], w.fleet.deleted[id])
		}
	}
	for _, n := range nodes {
		n.stop()
		<-n.done
	}
	synctest.Wait()
}

// harm does to a node, or to all of them, something short of death.
func (w *world) harm(n *node) {
	switch w.rand.IntN(3) {
	case 0: // it becomes so slow that others take its jobs
		n.link.mu.Lock()
		n.link.slow = 40 * time.Second
		n.link.mu.Unlock()
		wait(context.Background(), 50*time.Second)
	case 1: // NATS is away
		w.away(true)
		wait(context.Background(), time.Duration(w.rand.IntN(40))*time.Second)
		w.away(false)
	}
}

func (w *world) away(is bool) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.hub.away = is
}

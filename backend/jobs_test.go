package backend

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
	"github.com/hubgate/hubgate/query"
)

// patients are devices to which jobs do something.
type patients struct {
	count int
	slow  time.Duration

	mu    sync.Mutex
	calls map[hub.Identity]int
	done  atomic.Int64
}

func (p *patients) Each(_ context.Context, _ string, visit func(hub.Identity) bool) error {
	for i := range p.count {
		if !visit(device(i)) {
			return nil
		}
	}
	return nil
}

func (p *patients) do(ctx context.Context, id hub.Identity) {
	p.mu.Lock()
	if p.calls == nil {
		p.calls = map[hub.Identity]int{}
	}
	p.calls[id]++
	p.mu.Unlock()
	p.done.Add(1)
	if p.slow > 0 {
		wait(ctx, p.slow)
	}
}

func (p *patients) UpdateTwin(ctx context.Context, id hub.Identity, _ jobs.Write) error {
	p.do(ctx, id)
	return nil
}

func (p *patients) InvokeMethod(ctx context.Context, id hub.Identity, _ jobs.Method) (int, []byte, error) {
	p.do(ctx, id)
	return 200, []byte(`{"ok":true}`), nil
}

func (p *patients) Check(*jobs.Job) error { return nil }

// run has one node work on jobs, until the test ends or stop is called.
func (p *patients) run(tb testing.TB, b *Backbone, name string) (all *jobs.Jobs, stop func()) {
	tb.Helper()
	all = &jobs.Jobs{Store: b.Jobs(), Limits: jobs.Limits{InFlight: 20}}
	r := &jobs.Runner{Jobs: all, Node: name, Rows: b.Jobs(), Targets: p, Actions: p, Report: func(job string, err error) {
		tb.Logf("%s: job %s: %v", name, job, err)
	}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = r.Run(ctx)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	tb.Cleanup(stop)
	return all, stop
}

const (
	twinJob   = `{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":1}}}`
	methodJob = `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"}}`
)

func putJob(tb testing.TB, all *jobs.Jobs, id, body string) {
	tb.Helper()
	if _, err := all.Put(testContext(tb), jobs.Request{ID: id, Body: []byte(body)}); err != nil {
		tb.Fatal(err)
	}
}

// jobDone waits for the end of a job, and returns it with its rows.
func jobDone(tb testing.TB, b *Backbone, id string) (j jobs.Job, rows []jobs.Row) {
	tb.Helper()
	limit := time.Now().Add(5 * time.Minute) // a large one takes its time
	for !j.Settled && time.Now().Before(limit) {
		wait(context.Background(), 10*time.Millisecond)
		j, _ = b.Jobs().Get(context.Background(), id)
	}
	for after := uint64(0); ; {
		page, next, err := b.Jobs().Page(testContext(tb), id, after)
		if err != nil {
			tb.Fatal(err)
		}
		rows = append(rows, page...)
		if after = next; next == 0 {
			return j, rows
		}
	}
}

func wantDone(tb testing.TB, j jobs.Job, rows []jobs.Row, devices int) {
	tb.Helper()
	want := jobs.Statistics{Devices: devices, Succeeded: devices}
	if j.Status != jobs.Completed || j.Statistics != want || len(rows) != devices {
		tb.Errorf("the job %s is %s (%s) with %+v and %d rows, want %+v", j.ID, j.Status, j.Failure, j.Statistics, len(rows), want)
	}
}

// When the connection of a node is gone, another node goes on with its job, and
// no device is called again.
func TestJobTakenOver(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	first, second := open(t, s, Config{}), open(t, s, Config{})
	p := &patients{count: 200, slow: 100 * time.Millisecond}
	all, stop := p.run(t, first, "first")
	putJob(t, all, "calls", methodJob)
	until(t, "some calls", func() bool { return p.done.Load() > 50 })
	p.run(t, second, "second")
	first.nc.Close() // as if it were dead: nothing that it does is stored any more
	go stop()
	j, rows := jobDone(t, second, "calls")
	if s := j.Statistics; j.Status != jobs.Completed || s.Devices != p.count || s.Succeeded+s.Failed != p.count || len(rows) != p.count {
		t.Errorf("the job is %s with %+v and %d rows", j.Status, s, len(rows))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, n := range p.calls {
		if n > 1 {
			t.Errorf("%s was called %d times", id, n)
		}
	}
	for _, r := range rows {
		if r.Status != jobs.RowCompleted && r.Status != jobs.RowFailed {
			t.Errorf("the row of %s is %s", r.For, r.Status)
		}
	}
}

// While NATS is away a job waits; when it is back the job goes on, and nothing is
// counted twice.
func TestJobWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	port := s.Port()
	b := open(t, s, Config{})
	p := &patients{count: 300, slow: 50 * time.Millisecond}
	all, _ := p.run(t, b, "only")
	putJob(t, all, "twins", twinJob)
	until(t, "some updates", func() bool { return p.done.Load() > 100 })
	halt(t, s)
	wait(testContext(t), 2*time.Second)
	serve(t, dir, port)
	j, rows := jobDone(t, b, "twins")
	wantDone(t, j, rows, p.count)
}

// The rows of jobs are documents of FROM devices.jobs, on every node.
func TestFollowJobs(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b, other := open(t, s, Config{}), open(t, s, Config{})
	p := &patients{count: 3}
	all, _ := p.run(t, b, "only")
	putJob(t, all, "it's", methodJob)
	jobDone(t, b, "it's")
	ctx, cancel := context.WithCancel(context.Background())
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		other.FollowJobs(ctx)
	}()
	defer func() {
		cancel()
		<-followed
	}()
	count := func(where string) int {
		q, err := query.Parse("SELECT * FROM devices.jobs WHERE " + where)
		if err != nil {
			t.Fatal(err)
		}
		r, err := other.Fleet().jobs.Run(testContext(t), q, query.Page{})
		if err != nil || r.Kind != "DeviceJob" {
			t.Fatalf("%s: %v, of kind %s", where, err, r.Kind)
		}
		return len(r.Rows)
	}
	until(t, "what was there", func() bool { return count(`devices.jobs.jobId = 'it\'s' AND devices.jobs.status = 'completed'`) == 3 })
	putJob(t, all, "more", twinJob)
	until(t, "what comes", func() bool {
		return count(`devices.jobs.jobType = 'scheduleUpdateTwin' AND devices.jobs.status = 'completed'`) == 3
	})
	if n := count(`devices.jobs.deviceId = 'dev-1'`); n != 2 {
		t.Errorf("a device has %d rows, want 2", n)
	}
}

// A query of jobs sees the rows that its node has written before it.
func TestJobQueriesWait(t *testing.T) {
	t.Parallel()
	b, ctx := open(t, serve(t, "", 0), Config{}), testContext(t)
	follow, cancel := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		b.FollowJobs(follow)
	}()
	defer func() {
		cancel()
		<-followed
	}()
	until(t, "jobs are followed", func() bool { return b.Fleet().jobFeed.Load() != nil })
	h, err := b.Jobs().Hold(ctx, "j", make(jobs.Mark, fenceParts))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		row := jobs.Row{For: device(n), Job: "j", Type: jobs.InvokeMethod, Status: jobs.RowPending, Created: time.Now(), Updated: time.Now()}
		if err := h.Put(ctx, &row); err != nil {
			t.Fatal(err)
		}
		r, err := b.Fleet().Query(ctx, "SELECT * FROM devices.jobs", query.Page{})
		if err != nil || len(r.Rows) != n+1 {
			t.Fatalf("after %d rows were written there are %d, %v", n+1, len(r.Rows), err)
		}
	}
}

// BenchmarkJobRows has jobs done whose devices cost nothing: what is left is the
// rows and what a job writes of itself.
func BenchmarkJobRows(b *testing.B) {
	for _, devices := range []int{1000, 100_000} {
		b.Run(strconv.Itoa(devices), func(b *testing.B) {
			bone := open(b, serve(b, "", 0), Config{})
			p := &patients{count: devices}
			all, _ := p.run(b, bone, "only")
			for i := 0; b.Loop(); i++ {
				id := fmt.Sprintf("j%d", i)
				putJob(b, all, id, twinJob)
				j, rows := jobDone(b, bone, id)
				wantDone(b, j, rows, devices)
			}
			b.ReportMetric(float64(devices*b.N)/b.Elapsed().Seconds(), "devices/s")
		})
	}
}

package jobs_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/backend/backendtest"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

// hubOf is what a fake NATS holds: it outlives nodes.
type hubOf struct {
	tb testing.TB

	mu       sync.Mutex
	revision uint64
	jobs     map[string][]byte
	revs     map[string]uint64 // of jobs
	rows     map[string]map[hub.Identity]jobs.Row
	fences   map[string]uint64
	watchers map[chan told]bool
	claims   map[string]bool // that were displaced
	away     bool
}

type told struct {
	id string
	j  *jobs.Job // nil: removed
}

func newHub(tb testing.TB) *hubOf {
	tb.Helper()
	return &hubOf{
		tb: tb, jobs: map[string][]byte{}, revs: map[string]uint64{}, rows: map[string]map[hub.Identity]jobs.Row{},
		fences: map[string]uint64{}, watchers: map[chan told]bool{}, claims: map[string]bool{},
	}
}

func (h *hubOf) next() uint64 { h.revision++; return h.revision }

// link is how one node reaches the hub. Its methods are the store of that node.
type link struct {
	*hubOf

	mu   sync.Mutex
	rand *rand.Rand // nil: no faults
	rate float64    // of operations that fail
	dead bool       // the node is killed: nothing leaves it any more
	slow time.Duration
	full bool // there is no room for rows
}

var _ backendtest.JobStore = (*link)(nil)

func errAway() error { return hub.Errorf(hub.ServiceUnavailable, "NATS is away") }

// fate is what becomes of an operation.
type fate struct {
	lost  bool          // it does not reach the hub
	after time.Duration // it reaches it so much later
	back  time.Duration // and its answer comes so much after that: later than what a watch tells
	mute  bool          // its answer is lost
}

func (l *link) fate() fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := fate{lost: l.dead, after: l.slow}
	if l.rand == nil || f.lost {
		return f
	}
	f.back = time.Duration(l.rand.IntN(2000)) * time.Microsecond
	if f.after == 0 {
		f.after = time.Duration(l.rand.IntN(3000)) * time.Microsecond
	}
	if l.rand.Float64() < l.rate {
		f.lost = l.rand.IntN(2) == 0
		f.mute = !f.lost
	}
	return f
}

// fill leaves no room for rows.
func (l *link) fill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = true
}

func (l *link) isFull() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full
}

// kill ends a node: what is on its way still arrives, and its answers do not.
func (l *link) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
}

func (l *link) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// do takes an operation to the hub. What is on its way arrives, also when nobody
// waits for it any more.
func (l *link) do(ctx context.Context, op func() error) error {
	f := l.fate()
	if f.lost || ctx.Err() != nil {
		wait(ctx, time.Second)
		return errAway()
	}
	wait(context.Background(), f.after)
	l.hubOf.mu.Lock()
	err := errAway()
	if !l.away {
		err = op()
	}
	l.hubOf.mu.Unlock()
	if f.mute || l.isDead() {
		wait(ctx, time.Second)
		return errAway()
	}
	if wait(ctx, f.back); ctx.Err() != nil {
		return errAway()
	}
	return err
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (h *hubOf) write(j *jobs.Job) {
	value, err := j.Encode()
	if err != nil {
		h.tb.Error(err)
	}
	j.Revision = h.next()
	h.jobs[j.ID], h.revs[j.ID] = value, j.Revision
	h.tell(j.ID)
}

func (h *hubOf) read(id string) (jobs.Job, error) {
	value, ok := h.jobs[id]
	if !ok {
		return jobs.Job{}, hub.Errorf(hub.JobNotFound, "there is no job %s", id)
	}
	j, err := jobs.Decode(id, value)
	j.Revision = h.revs[id]
	return j, err
}

func (h *hubOf) tell(id string) {
	t := told{id: id}
	if j, err := h.read(id); err == nil {
		t.j = &j
	}
	for w := range h.watchers {
		w <- t
	}
}

func (l *link) Create(ctx context.Context, j *jobs.Job) error {
	return l.do(ctx, func() error {
		if _, ok := l.jobs[j.ID]; ok {
			return hub.Errorf(hub.JobAlreadyExists, "there is a job %s", j.ID)
		}
		l.write(j)
		return nil
	})
}

func (l *link) Update(ctx context.Context, j *jobs.Job) error {
	next := *j
	err := l.do(ctx, func() error {
		now, err := l.read(next.ID)
		if err != nil || now.Revision != next.Revision {
			return hub.Errorf(hub.PreconditionFailed, "the job is another one")
		}
		if now.Claim != next.Claim && now.Claim != "" {
			l.claims[now.Claim] = true
		}
		if l.claims[next.Claim] {
			l.tb.Errorf("%s writes the job, which it has lost", next.Claim)
		}
		l.write(&next)
		return nil
	})
	if err == nil {
		*j = next
	}
	return err
}

func (l *link) Remove(ctx context.Context, j jobs.Job) error {
	return l.do(ctx, func() error {
		now, err := l.read(j.ID)
		if err != nil {
			return err
		}
		if now.Revision != j.Revision {
			return hub.Errorf(hub.PreconditionFailed, "the job is another one")
		}
		delete(l.jobs, j.ID)
		l.next()
		l.tell(j.ID)
		return nil
	})
}

func (l *link) Get(ctx context.Context, id string) (j jobs.Job, err error) {
	err = l.do(ctx, func() error {
		j, err = l.read(id)
		return err
	})
	return j, err
}

func (l *link) Watch(ctx context.Context, w jobs.Watcher) error {
	changes := make(chan told, 100_000)
	w.Loading()
	l.hubOf.mu.Lock()
	var first []jobs.Job
	for id := range l.jobs {
		if j, err := l.read(id); err == nil {
			first = append(first, j)
		}
	}
	l.watchers[changes] = true
	l.hubOf.mu.Unlock()
	defer func() {
		l.hubOf.mu.Lock()
		defer l.hubOf.mu.Unlock()
		delete(l.watchers, changes)
	}()
	for _, j := range first {
		w.Stored(j)
	}
	w.Loaded()
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-changes:
			switch {
			case l.isDead():
			case t.j != nil:
				w.Stored(*t.j)
			default:
				w.Removed(t.id)
			}
		}
	}
}

func (l *link) Mark(ctx context.Context, job string) (m jobs.Mark, err error) {
	err = l.do(ctx, func() error {
		m = jobs.Mark{l.fences[job]}
		return nil
	})
	return m, err
}

func (l *link) Hold(ctx context.Context, job string, m jobs.Mark) (jobs.Hold, error) {
	h := &hold{link: l, job: job}
	err := l.do(ctx, func() error {
		if l.fences[job] != m[0] {
			return hub.Errorf(hub.PreconditionFailed, "the fence stands elsewhere")
		}
		h.epoch = l.next()
		l.fences[job] = h.epoch
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (l *link) Page(ctx context.Context, job string, after uint64) (rows []jobs.Row, next uint64, err error) {
	const page = 7
	err = l.do(ctx, func() error {
		for _, r := range l.rows[job] {
			if r.Revision > after {
				rows = append(rows, r)
			}
		}
		slices.SortFunc(rows, func(a, b jobs.Row) int { return int(a.Revision) - int(b.Revision) })
		if len(rows) > page {
			rows = rows[:page]
			next = rows[page-1].Revision
		}
		return nil
	})
	return rows, next, err
}

func (l *link) Scarce(context.Context) (bool, error) { return false, nil }

// hold is a [jobs.Hold] of one node.
type hold struct {
	*link

	job   string
	epoch uint64
}

func (h *hold) guarded(ctx context.Context, op func()) error {
	return h.do(ctx, func() error {
		if h.fences[h.job] != h.epoch {
			return hub.Errorf(hub.PreconditionFailed, "somebody else has the job")
		}
		op()
		return nil
	})
}

func (h *hold) Put(ctx context.Context, r *jobs.Row) error {
	if h.isFull() {
		return hub.Errorf(hub.QuotaExceeded, "there is no room for the devices of the job")
	}
	next := *r
	err := h.guarded(ctx, func() {
		next.Revision = h.next()
		if h.rows[h.job] == nil {
			h.rows[h.job] = map[hub.Identity]jobs.Row{}
		}
		if was := h.rows[h.job][next.For]; was.Status == jobs.RowCompleted || was.Status == jobs.RowFailed {
			if was.Status != next.Status {
				h.tb.Errorf("the row of %s goes from %s to %s", next.For, was.Status, next.Status)
			}
		}
		h.rows[h.job][next.For] = next
	})
	if err == nil {
		r.Revision = next.Revision
	}
	return err
}

func (h *hold) Delete(ctx context.Context, r jobs.Row) error {
	return h.guarded(ctx, func() { delete(h.rows[h.job], r.For) })
}

func (h *hold) Drop(ctx context.Context) error {
	return h.guarded(ctx, func() { h.fences[h.job] = h.next() })
}

func TestFakeStore(t *testing.T) {
	t.Parallel()
	backendtest.Jobs(t, func(t *testing.T) backendtest.JobStore { t.Helper(); return &link{hubOf: newHub(t)} })
}

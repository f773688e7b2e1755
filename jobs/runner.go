package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

const (
	lookEvery = 500 * time.Millisecond
	// renewEvery is how often a run says that it is there; patience is after how
	// long without a word somebody else takes its job.
	renewEvery = 4 * time.Second
	patience   = 15 * time.Second
	// stopGrace is how long the calls that are being made may take when the node
	// stops, and giveUp after how long it leaves without having said so.
	stopGrace = 3 * time.Second
	giveUp    = 6 * time.Second
	// claimPause is between two attempts to take a job.
	claimPause = time.Second
	holdTries  = 10
	// reportEvery is how often somebody is told of what goes wrong.
	reportEvery = 5 * time.Second
)

// Runner works on the jobs of a hub. Every node has one. Compare-and-set on the
// job decides who runs it, and a fence before its rows keeps everybody else from
// writing them. Set the fields, then call Run.
type Runner struct {
	Jobs    *Jobs
	Node    string // the name of this node
	Rows    Rows
	Targets Targets
	Actions Actions
	// Report gets what goes wrong behind the scenes, and is tried again; once in some
	// seconds. nil: nobody is told.
	Report func(job string, err error)

	mu    sync.Mutex
	runs  map[string]*run // that this node has, or wants to have
	wg    sync.WaitGroup
	swept time.Time

	reported time.Time
}

// Run works until ctx ends; then it begins with no more devices, waits a moment
// for those that it is at work with, and leaves the rest to others. It returns an
// error when the store can't be watched any more; then it may be called again.
func (r *Runner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var loop sync.WaitGroup
	loop.Go(func() { r.loop(ctx) })
	err := r.Jobs.Store.Watch(ctx, r.Jobs.index())
	cancel()
	loop.Wait()
	r.wg.Wait()
	return err
}

func (r *Runner) loop(ctx context.Context) {
	if !r.Jobs.index().await(ctx) {
		return
	}
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		r.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-r.Jobs.index().wake:
		}
	}
}

// look takes the jobs that are due, and tells the runs of this node what has
// become of theirs.
func (r *Runner) look(ctx context.Context) {
	now := r.Jobs.now()
	open := r.Jobs.index().collect(func(k known) bool { return !k.Settled }, byStart)
	begun := 0
	for _, k := range open {
		if !k.Begun.IsZero() {
			begun++
		}
	}
	for _, k := range open {
		if u := r.find(k.ID); u != nil {
			u.told(k.Job)
			continue
		}
		if !k.Begun.IsZero() {
			if k.Claim == "" || now.Sub(k.seen) >= patience {
				r.start(ctx, k.Job)
			}
			continue
		}
		if begun < r.Jobs.active() && !k.Start.After(now) {
			begun++
			r.start(ctx, k.Job)
		}
	}
	r.sweep(ctx, now)
}

func (r *Runner) find(id string) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runs[id]
}

// start takes a job and works on it, in a goroutine of its own.
func (r *Runner) start(ctx context.Context, j Job) {
	u := newRun(ctx, r, j)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs == nil {
		r.runs = map[string]*run{}
	}
	r.runs[j.ID] = u
	r.wg.Go(func() {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.runs, j.ID)
		}()
		defer u.close()
		if err := u.claim(j); err != nil {
			r.report(j.ID, err)
			pause(ctx, claimPause)
			return
		}
		u.do()
	})
}

// claim makes this run the one that works on the job, if the job is still the one
// that is known. The mark of the fence is read before the job is written:
// whoever takes the job after that moves the fence after it too, and the attempt
// to move it from the mark fails.
func (u *run) claim(k Job) error {
	mark, err := u.Rows.Mark(u.alive, k.ID)
	if err != nil {
		return err
	}
	j, err := u.Jobs.Store.Get(u.alive, k.ID)
	if err != nil {
		return err
	}
	if j.Revision != k.Revision {
		return errGone // the watch will tell
	}
	j.Claim = u.Node + "/" + rand.Text()
	if j.Begun.IsZero() {
		j.Begun = u.Jobs.now().UTC()
	}
	if !j.Status.Ended() {
		j.Status = Running
	}
	if err := u.Jobs.Store.Update(u.alive, &j); err != nil {
		return err
	}
	u.took(j)
	u.spec = j
	return u.fence(mark)
}

// fence moves the fence before the rows of a job that this run has claimed.
func (u *run) fence(mark Mark) error {
	var err error
	for range holdTries {
		if u.hold, err = u.Rows.Hold(u.alive, u.id, mark); err == nil {
			return nil
		}
		if code := hub.CodeOf(err); code != hub.PreconditionFailed && code != hub.ServiceUnavailable {
			return err
		}
		pause(u.alive, firstPause)
		if mark, err = u.Rows.Mark(u.alive, u.id); err != nil {
			return err
		}
		// Only a write proves that the job was still ours after that.
		if err = u.persist(u.renew); err != nil {
			return err
		}
	}
	return err
}

// report tells of what goes wrong: while the store is away that is the same again
// and again, of each device.
func (r *Runner) report(job string, err error) {
	if err == nil || r.Report == nil || hub.CodeOf(err) == hub.PreconditionFailed {
		return
	}
	now := r.Jobs.now()
	r.mu.Lock()
	quiet := now.Sub(r.reported) < reportEvery
	if !quiet {
		r.reported = now
	}
	r.mu.Unlock()
	if !quiet {
		r.Report(job, err)
	}
}

func (r *Runner) flight() int { return cmp.Or(max(r.Jobs.Limits.InFlight, 0), DefaultFlight) }

// pause waits, and returns false when ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

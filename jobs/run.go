package jobs

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// run is the work of this node on one job. What it writes last has its claim.
type run struct {
	*Runner

	id   string
	spec Job // what is to be done; it does not change
	hold Hold

	// alive ends when the job is somebody else's, or the node has waited long
	// enough at its stop. What is written is written under it.
	alive context.Context //nolint:containedctx // of the life of the run
	kill  context.CancelCauseFunc
	// begin ends when nothing more may begin; its cause says why.
	begin context.Context //nolint:containedctx // see alive
	shut  context.CancelCauseFunc
	// acting is for what is done to devices: it ends with the time of the job.
	acting context.Context //nolint:containedctx // see alive
	ease   context.CancelFunc
	unhook func() bool

	mu      sync.Mutex
	job     Job // as it was written last; zero until it is claimed
	stats   Statistics
	written time.Time   // when the job was
	last    uint64      // revision up to which rows are from before this run
	late    atomic.Bool // the time of the job was too short for some device
}

// Why a run begins with no more devices, or ends.
var (
	errGone      = hub.Errorf(hub.PreconditionFailed, "somebody else has the job")
	errStopping  = errors.New("the node stops")
	errCancelled = errors.New("the job is cancelled")
	errOver      = errors.New("the time of the job is over")
)

func newRun(ctx context.Context, r *Runner, j Job) *run {
	u := &run{Runner: r, id: j.ID}
	u.alive, u.kill = context.WithCancelCause(context.WithoutCancel(ctx))
	u.begin, u.shut = context.WithCancelCause(u.alive)
	u.acting, u.ease = context.WithCancel(u.alive)
	u.unhook = context.AfterFunc(ctx, func() {
		u.shut(errStopping)
		if pause(u.alive, stopGrace) {
			u.ease()
		}
		if pause(u.alive, giveUp-stopGrace) {
			u.kill(errStopping)
		}
	})
	return u
}

func (u *run) close() {
	u.unhook()
	u.kill(errGone)
}

// state is the job as it was written last.
func (u *run) state() Job {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.job
}

// took notes what was written.
func (u *run) took(j Job) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.job, u.written = j, u.Jobs.now()
}

// told hears of what the store has, which may be before the answer to the write of
// this run's claim is there.
func (u *run) told(k Job) {
	mine := u.state()
	if mine.Claim == "" || k.Revision <= mine.Revision {
		return
	}
	if k.Claim != mine.Claim {
		u.kill(errGone)
		return
	}
	if k.Status == Cancelled {
		u.shut(errCancelled)
	}
}

// do works until the job has ended, or is somebody else's, or the node stops.
func (u *run) do() {
	limit := time.AfterFunc(u.spec.deadline().Sub(u.Jobs.now()), func() {
		u.shut(errOver)
		u.ease()
	})
	defer limit.Stop()
	if u.spec.Status == Cancelled {
		u.shut(errCancelled)
	}
	var renewer sync.WaitGroup
	renewing, enough := context.WithCancel(u.alive)
	renewer.Go(func() { u.renewLoop(renewing) })
	err := u.work()
	enough()
	renewer.Wait()
	if u.alive.Err() != nil {
		return
	}
	if errors.Is(context.Cause(u.begin), errStopping) && err == nil && u.open() {
		err = u.finish(func(j *Job) { j.Claim = "" })
	} else {
		err = u.finish(func(j *Job) { u.conclude(j, err) })
	}
	if u.alive.Err() == nil {
		u.report(u.id, err)
	}
}

// open reports whether there is something left to do.
func (u *run) open() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.job.Targeted || u.stats.Pending+u.stats.Running > 0
}

// work does what is left to do. An error is why the job fails.
func (u *run) work() error {
	if !u.spec.Targeted && u.begin.Err() == nil {
		if err := u.target(); err != nil {
			return err
		}
	}
	if err := u.recount(); err != nil {
		return err
	}
	return u.pass()
}

// conclude gives the job its last status. What has been cancelled stays so.
func (u *run) conclude(j *Job, err error) {
	j.Claim, j.Settled = "", true
	now := u.Jobs.now()
	switch {
	case j.Status.Ended() && err != nil:
		j.Failure = sentence(err)
	case j.Status.Ended():
	case err != nil:
		j.end(Failed, sentence(err), now)
	case u.cut(j.Targeted):
		j.end(Failed, "the job was not done when its time of "+(time.Duration(j.Seconds)*time.Second).String()+" was over; see its devices", now)
	default:
		j.end(Completed, "", now)
	}
}

// cut reports whether the time of the job was too short.
func (u *run) cut(targeted bool) bool {
	return errors.Is(context.Cause(u.begin), errOver) && (u.late.Load() || !targeted)
}

// sentence is what an error tells those who asked for the job.
func sentence(err error) string {
	if e, ok := errors.AsType[*hub.Error](err); ok {
		return e.Message
	}
	return hub.CodeOf(err).Hint()
}

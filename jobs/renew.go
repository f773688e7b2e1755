package jobs

import (
	"context"
	"time"

	"github.com/hubgate/hubgate/hub"
)

const (
	renewTick    = time.Second
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// renewLoop says again and again that the job is being worked on, and how far.
func (u *run) renewLoop(ctx context.Context) {
	t := time.NewTicker(renewTick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if !u.stale() {
			continue
		}
		if err := u.renew(ctx); err != nil && ctx.Err() == nil {
			u.report(u.id, err)
		}
	}
}

// stale reports whether it is time to write the job.
func (u *run) stale() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stats != u.job.Statistics || u.Jobs.now().Sub(u.written) >= renewEvery
}

// current reports whether nobody else can have taken the job, as far as this
// node's clock can tell. Nothing begins when it is not; what is written is
// refused if it is so.
func (u *run) current() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.Jobs.now().Sub(u.written) < patience
}

// renew writes the job as it is.
func (u *run) renew(ctx context.Context) error { return u.write(ctx, func(*Job) {}) }

// finish writes a change to the job for as long as it takes, unless somebody else
// has the job.
func (u *run) finish(change func(*Job)) error {
	return u.persist(func(ctx context.Context) error { return u.write(ctx, change) })
}

// write writes the job once, with a change and the statistics. When that fails it
// asks what there is: a cancellation, the write itself with its answer lost, or
// somebody else's claim, which ends the run. After ServiceUnavailable it may be
// called again.
func (u *run) write(ctx context.Context, change func(*Job)) error {
	u.mu.Lock()
	next := u.job
	next.Statistics = u.stats
	u.mu.Unlock()
	claim := next.Claim
	change(&next)
	err := u.Jobs.Store.Update(ctx, &next)
	if err == nil {
		u.took(next)
		return nil
	}
	if code := hub.CodeOf(err); code == hub.QuotaExceeded || code == hub.MessageTooLarge {
		return err
	}
	got, getErr := u.Jobs.Store.Get(ctx, next.ID)
	switch {
	case hub.CodeOf(getErr) == hub.JobNotFound, getErr == nil && got.Claim != claim:
		u.kill(errGone)
		return errGone
	case getErr != nil:
		return err
	}
	u.adopt(got)
	return hub.Errorf(hub.ServiceUnavailable, "the job %s is to be written again: %w", next.ID, err)
}

// adopt takes what somebody else has written under this run's claim.
func (u *run) adopt(got Job) {
	u.mu.Lock()
	if got.Revision > u.job.Revision {
		u.job = got
	}
	u.mu.Unlock()
	if got.Status == Cancelled {
		u.shut(errCancelled)
	}
}

// persist does op until it succeeds, or somebody else has the job, or there is no
// use in trying again.
func (u *run) persist(op func(ctx context.Context) error) error {
	for n := 0; ; n++ {
		err := op(u.alive)
		switch hub.CodeOf(err) {
		case 0:
			return nil
		case hub.PreconditionFailed:
			u.kill(errGone)
			return errGone
		case hub.MessageTooLarge, hub.QuotaExceeded:
			return err
		default:
			if u.alive.Err() == nil {
				u.report(u.id, err)
			}
		}
		if !pause(u.alive, min(firstPause<<min(n, 10), longestPause)) {
			return err
		}
	}
}

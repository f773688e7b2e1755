package jobs

import (
	"context"
	"time"

	"github.com/hubgate/hubgate/hub"
)

const sweepEvery = time.Minute

// sweep forgets jobs that have ended long ago, and others while there is little
// room.
func (r *Runner) sweep(ctx context.Context, now time.Time) {
	if now.Sub(r.swept) < sweepEvery {
		return
	}
	r.swept = now
	r.wg.Go(func() {
		old := r.ended(now, func(k known) bool { return now.Sub(k.End) >= History })
		for _, k := range old {
			if err := r.forget(ctx, k.Job); err != nil {
				r.report(k.ID, err)
				return
			}
		}
		r.makeRoom(ctx)
	})
}

// ended returns jobs that nobody works on or removes, those that have ended first
// in front.
func (r *Runner) ended(now time.Time, keep func(known) bool) []known {
	return r.Jobs.index().collect(func(k known) bool {
		return k.Settled && keep(k) && (k.Claim == "" || now.Sub(k.seen) >= patience)
	}, byEnd)
}

// makeRoom forgets jobs that have ended, until there is room for the rows of
// others. A store that is full takes nothing, and lets nothing be deleted.
func (r *Runner) makeRoom(ctx context.Context) {
	for ctx.Err() == nil {
		scarce, err := r.Rows.Scarce(ctx)
		if err != nil || !scarce {
			r.report("", err)
			return
		}
		old := r.ended(r.Jobs.now(), func(known) bool { return true })
		if len(old) == 0 {
			return
		}
		if err := r.forget(ctx, old[0].Job); err != nil {
			r.report(old[0].ID, err)
			return
		}
	}
}

// forget removes a job that has ended: its rows, and then itself. Whoever finds it
// half gone goes on.
func (r *Runner) forget(ctx context.Context, j Job) error {
	u := newRun(ctx, r, j)
	defer u.close()
	err := u.claim(j)
	if err == nil {
		err = u.clear()
	}
	if err == nil {
		err = u.persist(u.hold.Drop)
	}
	if err == nil {
		err = r.Jobs.Store.Remove(u.alive, u.state())
	}
	if err == nil || hub.CodeOf(err) == hub.JobNotFound {
		r.Jobs.index().Removed(j.ID)
		return nil
	}
	return err
}

package jobs

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/hubgate/hubgate/hub"
)

// writers is how many rows are written at the same time.
const writers = 32

// target puts a row in the store for each device that the condition selects now,
// and says in the job that they are all there. Nothing is done to a device before
// that, so that an attempt that was cut short can be made again from the
// beginning. An error is why the job fails.
func (u *run) target() error {
	u.makeRoom(u.begin)
	for u.begin.Err() == nil {
		if err := u.clear(); err != nil {
			return u.unless(err)
		}
		err := u.choose()
		switch code := hub.CodeOf(err); {
		case u.begin.Err() != nil:
			return nil
		case err == nil:
			return u.unless(u.finish(func(j *Job) { j.Targeted = true }))
		case code == hub.ServiceUnavailable, code == hub.GatewayTimeout:
			u.report(u.id, err)
			pause(u.begin, longestPause)
		default:
			return err
		}
	}
	return nil
}

// unless is err, unless the run has ended, or begins with nothing more: then it is
// nobody's fault.
func (u *run) unless(err error) error {
	if u.alive.Err() != nil || errors.Is(err, errCut) {
		return nil
	}
	return err
}

// errCut says that not all rows were written, because nothing more may begin.
var errCut = errors.New("nothing more may begin")

// clear removes the rows of an attempt that was cut short.
func (u *run) clear() error {
	for after := uint64(0); ; {
		rows, next, err := u.page(after)
		if err != nil {
			return err
		}
		if err := u.each(rows, func(ctx context.Context, r *Row) error { return u.hold.Delete(ctx, *r) }); err != nil {
			return err
		}
		if after = next; next == 0 {
			return nil
		}
	}
}

// each writes some rows, several at the same time.
func (u *run) each(rows []Row, write func(context.Context, *Row) error) error {
	todo := make(chan *Row)
	w := u.writers(todo, write)
	for i := range rows {
		if !w.give(&rows[i]) {
			return errors.Join(w.wait(), errCut)
		}
	}
	return w.wait()
}

// choose writes a row for each target.
func (u *run) choose() error {
	job := u.spec
	w := u.writers(make(chan *Row), func(ctx context.Context, r *Row) error { return u.hold.Put(ctx, r) })
	n := 0
	err := u.Targets.Each(u.begin, job.Condition, func(id hub.Identity) bool {
		n++
		row := newRow(&job, id, u.Jobs.now())
		return w.give(&row)
	})
	if wErr := w.wait(); wErr != nil {
		return wErr
	}
	if err == nil {
		u.mu.Lock()
		u.stats = Statistics{Devices: n, Pending: n}
		u.mu.Unlock()
	}
	return err
}

// crew writes rows, several at the same time, until one can't be written.
type crew struct {
	run    *run
	todo   chan *Row
	wg     sync.WaitGroup
	once   sync.Once
	failed chan struct{}
	err    error
}

func (u *run) writers(todo chan *Row, write func(context.Context, *Row) error) *crew {
	c := &crew{run: u, todo: todo, failed: make(chan struct{})}
	for range writers {
		c.wg.Go(func() {
			for r := range todo {
				if err := u.persist(func(ctx context.Context) error { return write(ctx, r) }); err != nil {
					c.once.Do(func() { c.err = err; close(c.failed) })
					return
				}
			}
		})
	}
	return c
}

// give waits for a place; false: there is no use in giving more.
func (c *crew) give(r *Row) bool {
	select {
	case c.todo <- r:
		return true
	case <-c.failed:
		return false
	case <-c.run.alive.Done():
		return false
	case <-c.run.begin.Done():
		return false
	}
}

func (c *crew) wait() error {
	close(c.todo)
	c.wg.Wait()
	return c.err
}

// page reads a page of rows for as long as it takes.
func (u *run) page(after uint64) (rows []Row, next uint64, err error) {
	err = u.persist(func(ctx context.Context) error {
		rows, next, err = u.Rows.Page(ctx, u.id, after)
		return err
	})
	return rows, next, err
}

// over is how each sentence begins that is said of a device for which there was no
// time, or not enough.
const over = "the time of the job was over before "

// countTries is how often rows are counted that should be more: a server that
// answers may be behind another one for an instant.
const countTries = 10

// recount makes the statistics from the rows, which are all there is to know
// after a change of the node.
func (u *run) recount() error {
	for try := 1; ; try++ {
		s, last, err := u.tally()
		if err != nil {
			return u.unless(err)
		}
		u.mu.Lock()
		enough := !u.job.Targeted || s.Devices >= u.job.Statistics.Devices || try == countTries
		if enough {
			u.stats, u.last = s, last
		}
		u.mu.Unlock()
		if enough || !pause(u.alive, claimPause) {
			return nil
		}
	}
}

func (u *run) tally() (s Statistics, last uint64, err error) {
	for after := uint64(0); ; {
		rows, next, err := u.page(after)
		if err != nil {
			return s, 0, err
		}
		for _, r := range rows {
			s.Devices++
			*s.of(r.Status)++
			last = max(last, r.Revision)
			if r.Error != nil && strings.HasPrefix(r.Error.Description, over) {
				u.late.Store(true)
			}
		}
		if after = next; next == 0 {
			return s, last, nil
		}
	}
}

// of is where rows of a status are counted. What was cancelled has failed: no
// word of IoT Hub's fits better, and the numbers have to add up.
func (s *Statistics) of(status RowStatus) *int {
	switch status {
	case RowPending:
		return &s.Pending
	case RowRunning:
		return &s.Running
	case RowCompleted:
		return &s.Succeeded
	case RowFailed, RowCanceled:
		fallthrough
	default:
		return &s.Failed
	}
}

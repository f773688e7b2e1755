package jobs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// passTries is how often the rows are gone through when some are still open: see
// countTries.
const passTries = 5

// pass does what the rows say is left to do, with several devices at the same
// time. When nothing more may begin it gives the rest its last status. An error is
// why the job fails.
func (u *run) pass() error {
	for range passTries {
		p := &pass{run: u, tasks: make(chan Row)}
		for range u.flight() {
			p.wg.Go(p.work)
		}
		err := p.feed()
		close(p.tasks)
		p.wg.Wait()
		if err = errors.Join(err, p.err); err != nil {
			return u.unless(err)
		}
		if u.stopping() || u.left() == 0 {
			return nil
		}
	}
	return nil
}

// left is how many devices are not done with.
func (u *run) left() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stats.Pending + u.stats.Running
}

// stopping reports whether the rest is left to others.
func (u *run) stopping() bool {
	return u.alive.Err() != nil || errors.Is(context.Cause(u.begin), errStopping)
}

// pass is one time that a run goes through its rows.
type pass struct {
	*run

	tasks chan Row
	wg    sync.WaitGroup
	next  time.Time // when the next device may be begun with

	once sync.Once
	err  error // why a row could not be written
}

// feed reads rows in pages and gives them away, in time. Rows that this run has
// written stand behind all others.
func (p *pass) feed() error {
	for after := uint64(0); ; {
		rows, next, err := p.page(after)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Revision > p.last || p.stopping() {
				return nil
			}
			if !r.settled() && !p.give(r) {
				return nil
			}
		}
		if after = next; next == 0 {
			return nil
		}
	}
}

func (p *pass) give(r Row) bool {
	p.pace()
	select {
	case p.tasks <- r:
		return true
	case <-p.alive.Done():
		return false
	}
}

// pace waits until one more device may be begun with.
func (p *pass) pace() {
	rate := p.Jobs.Limits.Rate
	if rate <= 0 || p.begin.Err() != nil {
		return
	}
	now := p.Jobs.now()
	if p.next.After(now) {
		pause(p.begin, p.next.Sub(now))
		now = p.next
	}
	p.next = now.Add(time.Duration(float64(time.Second) / rate))
}

func (p *pass) work() {
	for r := range p.tasks {
		if err := p.one(r); err != nil && p.alive.Err() == nil {
			p.once.Do(func() { p.err = err })
			p.shut(err)
		}
	}
}

// one does what a row needs.
func (p *pass) one(r Row) error {
	if r.Status == RowRunning { // who has begun it is gone
		return p.settle(r, RowFailed, hub.Errorf(hub.GatewayTimeout, "the gateway was lost in mid-call: nobody knows whether the device has acted"))
	}
	for p.begin.Err() == nil && !p.current() {
		pause(p.begin, firstPause)
	}
	switch cause := context.Cause(p.begin); {
	case cause == nil:
		p.move(RowPending, RowRunning)
		r.Start = p.Jobs.now().UTC()
		if r.Type == InvokeMethod {
			return p.invoke(r)
		}
		return p.update(r)
	case errors.Is(cause, errCancelled):
		p.move(RowPending, RowRunning)
		return p.settle(r, RowCanceled, nil)
	case errors.Is(cause, errOver):
		p.move(RowPending, RowRunning)
		p.late.Store(true)
		return p.settle(r, RowFailed, hub.Errorf(hub.GatewayTimeout, over+"it began with this device"))
	default: // the node stops, or the job has failed
		return nil
	}
}

// update patches a twin. That can be done again, so it is until it is known what
// has become of it.
func (p *pass) update(r Row) error {
	by := "job " + p.id
	if p.spec.By != "" {
		by = p.spec.By + ", " + by
	}
	for n := 0; ; n++ {
		err := p.Actions.UpdateTwin(p.acting, r.For, Write{Patch: p.spec.Twin, By: by})
		switch {
		case err == nil:
			return p.settle(r, RowCompleted, nil)
		case p.acting.Err() != nil && p.stopping():
			p.move(RowRunning, RowPending)
			return nil
		case p.acting.Err() != nil:
			p.late.Store(true)
			return p.settle(r, RowFailed, hub.Errorf(hub.GatewayTimeout, over+"the twin was written for certain"))
		case !passing(err):
			return p.settle(r, RowFailed, err)
		}
		p.report(r.Job, err)
		pause(p.acting, min(firstPause<<min(n, 10), longestPause))
	}
}

// passing reports whether an update may succeed when it is tried again.
func passing(err error) bool {
	code := hub.CodeOf(err)
	return code == hub.ServiceUnavailable || code == hub.GatewayTimeout || code == hub.Throttled
}

// invoke calls a method. The row says so before the call is made: who finds it
// there afterwards does not call again.
func (p *pass) invoke(r Row) error {
	r.Status, r.Updated = RowRunning, r.Start
	if err := p.persist(func(ctx context.Context) error { return p.hold.Put(ctx, &r) }); err != nil {
		return err
	}
	if errors.Is(context.Cause(p.begin), errCancelled) {
		return p.settle(r, RowCanceled, nil)
	}
	status, answer, err := p.Actions.InvokeMethod(p.acting, r.For, *p.spec.Method)
	switch {
	case err == nil:
		r.Answer = &Answer{Status: status, Payload: payload(answer)}
		if len(r.Answer.Payload) > maxAnswer {
			r.Answer = nil
			return p.settle(r, RowFailed, hub.Errorf(hub.MessageTooLarge, "the answer of the device, with status %d, has %d bytes, and more as JSON than can be kept", status, len(answer)))
		}
		return p.settle(r, RowCompleted, nil)
	case p.acting.Err() == nil:
		return p.settle(r, RowFailed, err)
	case errors.Is(context.Cause(p.begin), errStopping):
		err = hub.Errorf(hub.GatewayTimeout, "the gateway stopped in mid-call: nobody knows whether the device has acted")
	default:
		p.late.Store(true)
		err = hub.Errorf(hub.GatewayTimeout, over+"the device had answered: nobody knows whether it has acted")
	}
	return p.settle(r, RowFailed, err)
}

// maxAnswer is how many bytes of a device's answer a row keeps.
const maxAnswer = 160 << 10

// settle gives a row its last status and counts it.
func (p *pass) settle(r Row, s RowStatus, cause error) error {
	r.finish(s, cause, p.Jobs.now())
	if err := p.persist(func(ctx context.Context) error { return p.hold.Put(ctx, &r) }); err != nil {
		return err
	}
	p.move(RowRunning, s)
	return nil
}

// move counts a device elsewhere.
func (u *run) move(from, to RowStatus) {
	u.mu.Lock()
	defer u.mu.Unlock()
	*u.stats.of(from)--
	*u.stats.of(to)++
}

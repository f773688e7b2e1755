package methods

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// drain makes the calls that wait for id, one after another, the oldest first.
func (q *Queue) drain(id hub.Identity) {
	for _, c := range q.index.of(id) {
		if c.State == Pending && q.Local.Ready(id, c.Method) && !q.attempt(c) {
			return
		}
	}
}

// attempt makes a call that waits; it returns false when the next one has no
// chance either.
func (q *Queue) attempt(known Command) bool {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	c, err := q.Commands.Get(ctx, known.For, known.ID)
	if hub.CodeOf(err) == hub.JobNotFound {
		q.index.drop(known)
		return true
	}
	if err != nil {
		q.report(known, err)
		return false
	}
	if c.State != Pending {
		q.index.put(c)
		return true
	}
	r, err := q.obstacle(ctx, c)
	switch {
	case err != nil:
		q.report(c, err)
		return false
	case r != nil:
		q.conclude(c, *r)
		return true
	default:
		return q.claim(ctx, &c) && q.call(c)
	}
}

// obstacle is the result of a command that must not begin any more; nil when
// it may.
func (q *Queue) obstacle(ctx context.Context, c Command) (*Result, error) {
	if now := q.now(); !now.Before(c.Expires) {
		return expired(c, now), nil
	}
	generation, err := q.Devices.Generation(ctx, c.For)
	code := hub.CodeOf(err)
	switch {
	case code == hub.DeviceNotFound, code == hub.ModuleNotFound:
		return q.failure(err), nil
	case err == nil && generation != c.Generation:
		return q.failure(hub.Errorf(hub.DeviceNotFound, "%s was deleted after the command was accepted, and created anew", c.For)), nil
	default:
		return nil, err
	}
}

func expired(c Command, now time.Time) *Result {
	return &Result{Outcome: Expired, Code: hub.DeviceNotOnline, Message: "Timed out waiting for device to connect: " + c.For.String() + " could not be called in " + c.Expires.Sub(c.Accepted).String(), Time: now}
}

// claim marks the command as begun, by this call of it. When the store's answer
// is lost it asks what has become of the write; if it can't find out, nobody
// makes the call, and the command ends as unknown at its deadline.
func (q *Queue) claim(ctx context.Context, c *Command) bool {
	next := *c
	next.State, next.Claim = Begun, q.Node+"/"+rand.Text()
	next.Deadline = q.now().Add(c.ResponseTimeout + claimGrace)
	err := q.Commands.Update(ctx, &next)
	if err == nil {
		*c = next
		return true
	}
	q.report(*c, err)
	got, err := q.Commands.Get(ctx, c.For, c.ID)
	if err == nil && got.State == Begun && got.Claim == next.Claim {
		*c = got
		return true
	}
	return false
}

// call makes the call that this node has claimed.
func (q *Queue) call(c Command) bool {
	ctx, cancel := context.WithTimeout(context.Background(), c.ResponseTimeout)
	defer cancel()
	a, err := q.Local.Invoke(ctx, c.call())
	switch code := hub.CodeOf(err); {
	case err == nil && len(a.Payload) <= MaxPayload:
		q.conclude(c, Result{Outcome: Answered, Status: a.Status, Payload: a.Payload, Time: q.now()})
	case err == nil:
		q.conclude(c, *q.failure(hub.Errorf(hub.MessageTooLarge, "the answer of %s, with status %d, has %d bytes; a method takes %d", c.For, a.Status, len(a.Payload), MaxPayload)))
	case code == hub.DeviceNotOnline, code == hub.TooManyCalls, code == hub.Throttled:
		q.putBack(c) // it was certainly not called
		return false
	default:
		q.conclude(c, *q.failure(err))
	}
	return true
}

func (q *Queue) failure(err error) *Result {
	r := &Result{Outcome: Failed, Code: hub.CodeOf(err), Message: hub.CodeOf(err).Hint(), Time: q.now()}
	if e, ok := errors.AsType[*hub.Error](err); ok {
		r.Message = e.Message
	}
	return r
}

// putBack undoes a claim.
func (q *Queue) putBack(c Command) {
	err := q.persist(&c, func(c *Command) { c.State, c.Claim, c.Deadline = Pending, "", time.Time{} })
	if err == nil {
		q.index.put(c)
	}
	q.report(c, err)
}

// conclude writes the result of c, which nobody else has changed, and delivers
// it.
func (q *Queue) conclude(c Command, r Result) {
	err := q.persist(&c, func(c *Command) { c.finish(r) })
	if err == nil {
		q.settle(c)
		return
	}
	q.report(c, err)
}

func (c *Command) finish(r Result) { c.State, c.Payload, c.Result = Finished, nil, &r }

// persist writes a change to c for as long as it takes, unless somebody else
// has changed c, or the queue is closed: a store that is away for a while must
// not turn an answer into an unknown.
func (q *Queue) persist(c *Command, change func(*Command)) error {
	limit := q.now().Add(claimGrace)
	if c.Deadline.After(limit) {
		limit = c.Deadline
	}
	for {
		next := *c
		change(&next)
		again, err := q.write(c, next)
		if !again || q.now().After(limit) || q.crew.isClosed() {
			return err
		}
		<-time.After(storePause)
	}
}

// write makes c next in the store. When that fails it asks what has become of
// the write; again says that it may be repeated, of c as it is then.
func (q *Queue) write(c *Command, next Command) (again bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err = q.Commands.Update(ctx, &next); err == nil {
		*c = next
		return false, nil
	}
	now, getErr := q.Commands.Get(ctx, c.For, c.ID)
	switch {
	case getErr != nil:
		return !gone(getErr), err
	case now.State == next.State && now.Claim == next.Claim: // stored, and the answer lost
		*c = now
		return false, nil
	case now.State != c.State || now.Claim != c.Claim:
		return false, err // it is somebody else's now
	default:
		c.Revision = now.Revision
		return true, err
	}
}

// settle delivers the result of a finished command and forgets it. What fails
// is done again by a sweep.
func (q *Queue) settle(c Command) {
	q.index.put(c)
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := q.Results.Deliver(ctx, c); err != nil {
		q.report(c, err)
		return
	}
	if err := q.Commands.Remove(ctx, c); err != nil && !gone(err) {
		q.report(c, err)
		return
	}
	q.index.drop(c)
}

// sweepLoop sees to what time brings, until ctx ends.
func (q *Queue) sweepLoop(ctx context.Context) {
	t := time.NewTicker(sweepInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			q.sweep()
		}
	}
}

// sweep ends what is due, and wakes up what could run and does not.
func (q *Queue) sweep() {
	now := q.now()
	for _, c := range q.index.collect(func(c Command) bool { return q.due(c, now) }) {
		switch c.State {
		case Pending:
			q.resolve(c, *expired(c, now))
		case Begun:
			q.resolve(c, Result{
				Outcome: Unknown, Code: hub.GatewayTimeout, Time: now,
				Message: "the gateway was lost in mid-call: the device may or may not have been called",
			})
		case Finished:
			q.settle(c)
		case coming: // is never due
		}
	}
	for _, c := range q.index.collect(func(c Command) bool { return c.State == Pending && !q.crew.isBusy(c.For) }) {
		q.wake(c)
	}
}

func (q *Queue) due(c Command, now time.Time) bool {
	switch c.State {
	case Pending:
		return !now.Before(c.Expires) && !q.crew.isBusy(c.For)
	case Begun:
		return !now.Before(c.Deadline)
	case Finished:
		return now.Sub(c.Result.Time) >= deliverAfter
	default:
		return false
	}
}

// resolve writes a result that time has decided, unless somebody else was
// faster.
func (q *Queue) resolve(c Command, r Result) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	known := c
	c.finish(r)
	err := q.Commands.Update(ctx, &c)
	switch {
	case err == nil:
		q.settle(c)
	case gone(err):
		q.refresh(ctx, known)
	default:
		q.report(c, err)
	}
}

// refresh reads again what this node has wrong.
func (q *Queue) refresh(ctx context.Context, known Command) {
	c, err := q.Commands.Get(ctx, known.For, known.ID)
	switch {
	case err == nil:
		q.index.put(c)
	case hub.CodeOf(err) == hub.JobNotFound:
		q.index.drop(known)
	}
}

package backend

import (
	"context"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// owed is the answer to a message that JetStream has acknowledged and the disk
// may not have.
type owed struct {
	answer
	stored int64 // as in slot
}

// held is the answers that wait for the disk, each part in the order in which
// JetStream has acknowledged. Engine.mu guards it.
type held struct {
	gathered []owed // a sync has to begin yet
	sealed   []owed // the sync that covers them runs
	due      []owed // the disk has them
}

// hold takes an acknowledged message out of the window, and keeps its answer for
// the next sync; sequence is the message's in the stream. It reports whether that has to be asked for. e.mu is held.
func (e *Engine) hold(s *slot, sequence uint64) (first bool) {
	e.win.held++ // before settle looks whether anything is left
	o := owed{stored: s.stored}
	o.answer = e.settle(s)
	o.sequence = sequence
	e.held.gathered = append(e.held.gathered, o)
	return len(e.held.gathered) == 1
}

var _ party = (*Engine)(nil)

// seal implements [party].
func (e *Engine) seal() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := &e.held
	h.gathered, h.sealed = h.sealed[:0], h.gathered
	return len(h.sealed) > 0
}

// synced implements [party]. The answers are given by another goroutine, so that
// the next sync does not wait for them.
func (e *Engine) synced(err error) {
	if err != nil {
		e.failHeld(err)
		return
	}
	e.mu.Lock()
	h := &e.held
	h.due = append(h.due, h.sealed...)
	clear(h.sealed)
	h.sealed = h.sealed[:0]
	e.mu.Unlock()
	select {
	case e.releasing <- struct{}{}:
	default:
	}
}

// releaseLoop gives the answers that are due, in their order, until ctx ends.
func (e *Engine) releaseLoop(ctx context.Context) {
	var batch []owed
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.releasing:
		}
		e.mu.Lock()
		batch, e.held.due = e.held.due, batch[:0]
		now := e.now()
		e.mu.Unlock()
		e.stored.Add(uint64(len(batch)))
		for _, o := range batch {
			e.took.Observe(time.Duration(now - o.stored))
			o.give(nil)
		}
		e.mu.Lock()
		e.letGo(len(batch))
		e.mu.Unlock()
		clear(batch)
	}
}

// letGo gives back the places of answers that are given. e.mu is held.
func (e *Engine) letGo(n int) {
	e.win.held -= n
	e.win.wake()
	e.checkDrained()
}

// expireHeld fails what the disk has not taken in time, and all that waits for it
// with that.
func (e *Engine) expireHeld() {
	e.mu.Lock()
	oldest := e.held.sealed
	if len(oldest) == 0 {
		oldest = e.held.gathered
	}
	late := len(oldest) > 0 && e.now()-oldest[0].stored > int64(e.timing.store)
	e.mu.Unlock()
	if late {
		e.failHeld(hub.Errorf(hub.ServiceUnavailable, "the disk did not take the message within %v", e.timing.store))
	}
}

// failHeld reports what the disk may not have as not stored.
func (e *Engine) failHeld(err error) {
	e.mu.Lock()
	answers := e.takeHeld()
	e.noteRefusal(err)
	e.mu.Unlock()
	e.fail(answers, err)
}

// takeHeld forgets what the disk may not have, and returns its answers. e.mu is
// held.
func (e *Engine) takeHeld() (answers []answer) {
	for _, part := range [][]owed{e.held.sealed, e.held.gathered} {
		for _, o := range part {
			answers = append(answers, o.answer)
		}
	}
	e.held.sealed, e.held.gathered = nil, nil
	e.letGo(len(answers))
	return answers
}

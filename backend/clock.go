package backend

import (
	"context"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// clockLoop looks after what takes too long.
func (e *Engine) clockLoop(ctx context.Context) {
	t := time.NewTicker(e.timing.tick)
	defer t.Stop()
	trim := time.NewTicker(trimInterval)
	defer trim.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			e.expire()
			e.expireHeld()
			e.revive()
		case <-trim.C:
			e.trim()
		}
	}
}

// trimInterval is how long the storage of a burst is kept for the next one.
const trimInterval = 10 * time.Second

func (e *Engine) trim() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.win.trim()
}

// revive retries after a stall, and stalls when a publication got no answer.
func (e *Engine) revive() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calm()
	now := e.now()
	switch e.state {
	case stalled:
		if now >= e.retryAt {
			e.probe()
			e.kick()
		}
	case probing, flowing:
		if e.silent(now) {
			e.stall("no acknowledgement")
		}
	case down:
	}
}

// silent says whether the oldest publication has gone astray: either nothing
// is answered any more, or later messages were and it was not. e.mu is held.
func (e *Engine) silent(now int64) bool {
	if e.win.next <= e.win.head { // nothing is published
		return false
	}
	since := e.win.at(e.win.head).sent
	if !e.beyond {
		since = max(since, e.answered)
	}
	return now-since > int64(e.timing.ack)
}

// expire fails the messages that have waited too long and, so that no later
// one of the same sender is stored in front of a lost one, what the same
// identities sent after them.
func (e *Engine) expire() {
	e.mu.Lock()
	deadline := e.now() - int64(e.timing.store)
	if s := e.win.at(e.win.head); s == nil || s.stored > deadline {
		e.mu.Unlock()
		return
	}
	late := make(map[string]bool) // by subject: strings of slots that are still held
	var answers []answer
	var gone []*slot
	for seq := e.win.head; seq < e.win.tail; seq++ {
		s := e.win.at(seq)
		if s == nil || s.stored > deadline && !late[view(s.subject)] {
			continue
		}
		late[view(s.subject)] = true
		s.refs.Add(1) // keeps the subject until the scan is over
		gone = append(gone, s)
		answers = append(answers, e.settle(s))
	}
	e.mu.Unlock()
	e.release(gone)
	e.fail(answers, hub.Errorf(hub.ServiceUnavailable, "JetStream did not store the message within %v", e.timing.store))
}

// failAll reports everything that is in flight as not stored.
func (e *Engine) failAll() {
	e.mu.Lock()
	e.over = true
	var answers []answer
	for seq := e.win.head; seq < e.win.tail; seq++ {
		if s := e.win.at(seq); s != nil {
			answers = append(answers, e.settle(s))
		}
	}
	answers = append(answers, e.takeHeld()...)
	for _, o := range e.held.due {
		answers = append(answers, o.answer)
	}
	e.letGo(len(e.held.due))
	e.held.due = nil
	e.calm()
	e.mu.Unlock()
	e.fail(answers, errStopping())
}

func (e *Engine) fail(answers []answer, err error) {
	e.failed.Add(uint64(len(answers)))
	for _, a := range answers {
		a.give(err)
	}
}

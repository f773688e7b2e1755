package backend

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/c2d"
)

const (
	maxFailed = 5 // of one sweep
	// A pass reads so much at once.
	passMessages = stretchSize / 2
	passBytes    = 1 << 20
)

// c2dPass is one pass over the messages.
type c2dPass struct {
	*c2dKeeper
	now, until time.Time
	looked     int // messages that were read
	failed     []error
	stopped    bool
	// full means that it is asked of each message of this stretch whether its device
	// exists, which else is for those that are due.
	full bool
}

// inTime reports whether the pass goes on.
func (p *c2dPass) inTime(ctx context.Context) bool {
	p.stopped = p.stopped || ctx.Err() != nil || !time.Now().Before(p.until)
	return !p.stopped
}

// pass inspects the messages that may be due and those that are new, beginning
// where the last one has stopped, until the time is up. It returns how many it
// has read. A message that can't be settled does not keep it from the others.
func (w *c2dKeeper) pass(ctx context.Context, now, until time.Time) (looked int, err error) {
	p, s := &c2dPass{c2dKeeper: w, now: now, until: until}, &w.seen
	found := map[int][]stretch{}
	count := len(s.stretches)
	for i, start := 0, s.start(); i <= count && p.inTime(ctx); i++ {
		at := (start + i) % (count + 1)
		if at == count {
			p.full = true
			found[at] = p.walk(ctx, s.before(at), stretch{last: math.MaxUint64})
			continue
		}
		var due bool
		if due, p.full = s.stretches[at].isDue(now); due {
			found[at] = p.walk(ctx, s.before(at), s.stretches[at])
		}
	}
	s.replace(found)
	if !p.stopped {
		s.at = 0
		s.compact()
	}
	return p.looked, errors.Join(p.failed...)
}

// walk looks at the messages of a stretch that begins behind after, and returns
// what takes its place.
func (p *c2dPass) walk(ctx context.Context, after uint64, of stretch) (parts []stretch) {
	part := p.begin(of)
	isNew, seen := of.last == math.MaxUint64, 0
	for more := true; more && after < of.last && p.inTime(ctx); {
		room := direct.Room{Messages: passMessages, Bytes: passBytes}
		if !isNew {
			room.Messages = min(room.Messages, max(of.count-seen, 1))
		}
		batch, err := p.store.scan(ctx, after, room)
		if err != nil { // it is the store
			p.failed, p.stopped = append(p.failed, err), true
			break
		}
		more = batch.more
		for _, m := range batch.messages {
			if m.Sequence > of.last {
				more = false
				break
			}
			p.inspect(ctx, m, &part)
			after, seen = m.Sequence, seen+1
			part.last = after
			if part.count == stretchSize {
				parts, part = append(parts, part), p.begin(of)
			}
			if !p.inTime(ctx) {
				break
			}
		}
		if more && !p.stopped {
			after = max(after, batch.last)
		}
	}
	return p.end(append(parts, part), after, seen, of)
}

// begin begins to note messages of a stretch.
func (p *c2dPass) begin(of stretch) stretch {
	part := newStretch(p.now)
	if !p.full {
		part.full = of.full
	}
	return part
}

// end makes the parts end where the stretch does that they take the place of. What
// was not looked at remains to be.
func (p *c2dPass) end(parts []stretch, after uint64, seen int, of stretch) []stretch {
	isNew, last := of.last == math.MaxUint64, &parts[len(parts)-1]
	switch {
	case p.stopped:
		p.seen.at = after
		if last.last = after; !isNew && after < of.last {
			parts = append(parts, stretch{last: of.last, full: of.full, count: max(of.count-seen, 1)})
		}
	case !isNew:
		last.last = of.last
	}
	return slices.DeleteFunc(parts, func(s stretch) bool { return s.count == 0 })
}

// inspect settles a message or notes when it is due. One that could not be
// settled is looked at again, in full, by the next pass.
func (p *c2dPass) inspect(ctx context.Context, m c2d.Message, part *stretch) {
	p.looked++
	due := p.queues.Due(&m)
	if !p.full && due.After(p.now) {
		part.add(due)
		return
	}
	settled, err := p.queues.Inspect(ctx, m)
	switch {
	case err != nil:
		part.add(time.Time{})
		part.full = 0
		p.failed = append(p.failed, fmt.Errorf("message %d: %w", m.Sequence, err))
		p.stopped = p.stopped || len(p.failed) == maxFailed // it is the store
	case !settled:
		part.add(due)
	}
}

package twin

import (
	"context"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Begin puts w into the twin of an identity that has just been made, as what it
// begins with: desired properties are of version 1, and their metadata have no
// time. A twin that somebody has written meanwhile is replaced, as by
// [Twins.Replace]. w.IfMatch does not count.
func (s *Twins) Begin(ctx context.Context, id hub.Identity, w Write) (Twin, error) {
	p, err := ParseUpdate(w.Body)
	if err != nil {
		return Twin{}, err
	}
	return s.change(ctx, id, w.By, func(t Twin) (Twin, Change, error) { return t.begin(p, s.now()) })
}

func (t Twin) begin(p Patch, now time.Time) (Twin, Change, error) {
	empty := New(t.ID, t.Generation, time.Time{})
	if t.Version != empty.Version || t.ETag != empty.ETag {
		return t.Replace(p, "*", now)
	}
	next := t
	next.tags.root = merge(nil, orEmpty(p.tags), mark{})
	next.desired.root = merge(nil, orEmpty(p.desired), mark{version: next.desired.version})
	if err := next.checkSizes(); err != nil {
		return Twin{}, Change{}, err
	}
	return next, Change{
		Op: OpReplace, Time: now, Event: next.AppendJSON(nil),
		Desired: Notification{next.desired.version, appendVersioned(nil, next.desired.root, next.desired.version)},
	}, nil
}

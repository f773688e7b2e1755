package backend

import (
	"context"
	"time"
)

const (
	// missedCheck is how often a node looks for messages of which it has not
	// heard. An announcement is lost when the NATS server of this node has lost
	// the others: nothing of that is seen on our connection.
	missedCheck = 10 * time.Second
	missedTime  = 5 * time.Second // for one look at most
)

// announced is how far a node has heard of the stored messages, whose numbers
// have no gaps.
type announced struct {
	last uint64 // everything up to here was heard of, or looked up
	redo uint64 // and from here on once more: a replica may have been behind; 0: no need
}

// heard notes an announcement, and reports whether some before it were missed.
func (a *announced) heard(sequence uint64) (missed bool) {
	if sequence <= a.last {
		return false
	}
	missed = sequence > a.last+1
	if !missed {
		a.last = sequence
	}
	return missed
}

// lookUp wakes the devices of the messages that are in the queues and were
// stored after the last one that was heard of. upTo is a number that exists.
func (w *c2dKeeper) lookUp(ctx context.Context, a *announced, upTo uint64) error {
	from := a.last
	if a.redo > 0 && a.redo < from {
		from = a.redo
	}
	a.redo = 0
	if upTo > a.last {
		a.redo = a.last
	}
	until := time.Now().Add(missedTime)
	for at := from; time.Now().Before(until); {
		m, err := w.store.next(ctx, w.backbone.names.C2DAll(), at)
		if err != nil {
			a.redo = from
			return err
		}
		if m.Sequence == 0 {
			a.last = max(a.last, upTo)
			return nil
		}
		w.queues.Wake(m.Device, m.Sequence)
		at = m.Sequence
		a.last = max(a.last, at)
	}
	return nil
}

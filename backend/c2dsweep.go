package backend

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

const (
	sweepEvery = time.Minute
	sweepTime  = 20 * time.Second // of one sweep at most
	sweepKey   = "sweep.lease"    // of two tokens: no device has it
)

// sweepTurn is the value of the key by which nodes agree on who sweeps.
type sweepTurn struct {
	Next time.Time `json:"next"` // nobody sweeps before
	Node string    `json:"node"` // who has swept last
}

// keeps reports whether a node has to leave the sweep to another, or to a later
// time. Who has swept remembers what it has seen, and goes first.
func (t sweepTurn) keeps(node string, now time.Time) bool {
	next := t.Next
	if t.Node != "" && t.Node != node {
		next = next.Add(sweepEvery)
	}
	return next.After(now) && t.Next.Before(now.Add(2*sweepEvery))
}

// sweepLoop settles what has expired in the queues of devices that are not
// connected.
func (w *c2dKeeper) sweepLoop(ctx context.Context) {
	for wait(ctx, sweepEvery/2) {
		if err := w.sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
			w.backbone.cfg.Log.Warn().Err(err).Msg("the sweep of cloud-to-device messages was cut short")
		}
	}
}

// sweep does one sweep, unless it is not due or another node does it. It looks
// at what it has not seen and at what is due, in the queues of deleted devices
// too. A sweep that has no time for all goes on the next time.
func (w *c2dKeeper) sweep(ctx context.Context, now time.Time) error {
	mine, err := w.takeTurn(ctx, now)
	if err != nil || !mine {
		return err
	}
	until := time.Now().Add(sweepTime)
	registry, err := w.checkSeen(ctx)
	if err != nil {
		return err
	}
	err = w.sweepDeleted(ctx, registry, until)
	_, passErr := w.pass(ctx, now, until)
	return errors.Join(err, passErr)
}

// takeTurn reports whether this node sweeps now. What it remembers is of no use
// while another does.
func (w *c2dKeeper) takeTurn(ctx context.Context, now time.Time) (bool, error) {
	var turn sweepTurn
	var rev uint64
	node := w.backbone.cfg.Node
	e, err := w.store.states.get(ctx, sweepKey)
	if err == nil {
		rev = e.Revision()
		if json.Unmarshal(e.Value(), &turn) != nil {
			turn = sweepTurn{}
		}
	} else if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, err
	}
	if turn.Node != node {
		w.seen.forget()
	}
	if turn.keeps(node, now) {
		return false, nil
	}
	value, err := json.Marshal(sweepTurn{now.Add(sweepEvery), node})
	if err != nil {
		return false, err
	}
	_, err = w.store.states.put(ctx, sweepKey, value, rev)
	if isConflict(err) {
		return false, nil // another node is faster
	}
	return err == nil, err
}

// checkSeen forgets what was seen when it may be of other messages than those
// that are there: the stream was made anew, or a NATS server has lost the end of
// it in a crash and gives the same numbers once more. It returns the last revision
// of the registry.
func (w *c2dKeeper) checkSeen(ctx context.Context) (registry uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := w.store.queue.Info(ctx)
	if err != nil {
		return 0, hub.Errorf(hub.ServiceUnavailable, "look up stream %s: %w", w.store.names.C2DStream(), err)
	}
	registry, err = w.backbone.devices.bucket.lastRevision(ctx)
	if err != nil {
		return 0, err
	}
	stream := c2dSource{made: info.Created, reconnects: w.backbone.nc.Stats().Reconnects}
	if s := &w.seen; !s.began || s.source != stream || info.State.LastSeq < s.last() || registry < s.registry {
		s.forget()
		s.began, s.source, s.registry = true, stream, registry
	}
	return registry, nil
}

// sweepDeleted looks at the queues of the devices that were deleted since the
// last sweep, if the registry is at another revision: who has deleted one may have
// died before the queue was empty.
func (w *c2dKeeper) sweepDeleted(ctx context.Context, registry uint64, until time.Time) error {
	if registry == w.seen.registry {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, until.Add(-sweepTime/2)) // the rest is for what is due
	defer cancel()
	var failed error
	next, err := w.backbone.devices.deletedSince(ctx, w.seen.registry+1, func(device string) {
		if failed == nil {
			failed = w.inspectQueue(ctx, device)
		}
	})
	w.seen.registry = next - 1
	if failed != nil {
		w.seen.lookAgain()
	}
	return errors.Join(err, failed)
}

// inspectQueue looks at all messages of a device.
func (w *c2dKeeper) inspectQueue(ctx context.Context, device string) error {
	for after := uint64(0); ; {
		m, err := w.store.Next(ctx, device, after)
		if err != nil || m.Sequence == 0 {
			return err
		}
		if _, err := w.queues.Inspect(ctx, m); err != nil {
			return err
		}
		after = m.Sequence
	}
}

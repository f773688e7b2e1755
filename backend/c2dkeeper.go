package backend

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

// C2D delivers cloud-to-device messages from HUB_C2D. Its queues are in use by
// all connections of this node.
func (b *Backbone) C2D() *c2d.Queues { return b.queues }

// openQueues opens the store of queues and begins to look after them: messages
// that nobody will deliver are settled, and mailboxes are woken. ctx is that of
// the opening, background that of the work.
func (b *Backbone) openQueues(ctx, background context.Context) error {
	store, err := openC2D(ctx, b.js, b.names)
	if err != nil {
		return err
	}
	store.claims, store.commits = b.sessions.bucket, b.commits
	b.queues = &c2d.Queues{Store: store, Bulk: store, Outcomes: store, Devices: b.devices, Claims: store, Limits: b.cfg.C2D, Dropped: b.dropped, Settled: b.settled.add, Trouble: func(device string, err error) {
		b.cfg.Log.Warn().Err(err).Str("device_id", device).Msg("cloud-to-device messages wait")
	}}
	b.feedback = &FeedbackQueue{js: b.js, states: store.states, names: b.names, now: time.Now}
	w := &c2dKeeper{backbone: b, store: store, queues: b.queues}
	if err := w.subscribe(background); err != nil {
		return err
	}
	b.wg.Go(func() { w.sweepLoop(background) })
	return nil
}

// dropped tells the device's timeline of a message that it will not get. One to
// a device that does not exist has no timeline.
func (b *Backbone) dropped(d c2d.DeadLetter) {
	if !hub.ValidID(d.Message.Device) {
		return
	}
	b.recorder.Record(timeline.Entry{
		ID: hub.Identity{Device: d.Message.Device}, What: timeline.C2DDropped, Code: codeOf(d.Status), Time: d.Time,
		Message: "the message " + strconv.Quote(d.Message.MessageID) + " was not delivered: " + d.Description,
	})
}

// codeOf is IoT Hub's code for what became of a message.
func codeOf(s c2d.Status) hub.Code {
	switch s {
	case c2d.Expired, c2d.DeliveryCountExceeded:
		return hub.DeviceNotOnline
	case c2d.Rejected:
		return hub.ArgumentInvalid
	case c2d.Success, c2d.Purged:
		return 0
	default:
		return hub.ServerError
	}
}

// c2dKeeper is one node's part in looking after the queues.
type c2dKeeper struct {
	backbone *Backbone
	store    *C2DStore
	queues   *c2d.Queues
	seen     c2dSeen // of the sweeps
}

const (
	// storedBuffer holds the announcements of a burst until they are seen.
	storedBuffer = 64 << 10
	inspectors   = "hubgate" // the queue group: each message is looked at once
)

// subscribe listens to the announcements of stored messages: every node wakes
// its own devices, and one node looks at the message.
func (w *c2dKeeper) subscribe(ctx context.Context) error {
	b := w.backbone
	stored, checks := make(chan *nats.Msg, storedBuffer), make(chan *nats.Msg, storedBuffer)
	wake, err := b.nc.ChanSubscribe(b.names.C2DStoredAll(), stored)
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "subscribe to cloud-to-device messages: %w", err)
	}
	check, err := b.nc.ChanQueueSubscribe(b.names.C2DStoredAll(), inspectors, checks)
	if err == nil {
		err = b.nc.FlushTimeout(requestTimeout)
	}
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "subscribe to cloud-to-device messages: %w", err)
	}
	b.wg.Go(func() {
		defer func() { _ = wake.Unsubscribe() }()
		w.wakeLoop(ctx, stored)
	})
	b.wg.Go(func() {
		defer func() { _ = check.Unsubscribe() }()
		w.checkLoop(ctx, checks)
	})
	return nil
}

func (w *c2dKeeper) wakeLoop(ctx context.Context, stored <-chan *nats.Msg) {
	connected := w.backbone.nc.StatusChanged(nats.CONNECTED)
	at := announced{last: w.store.last}
	tick := time.NewTicker(missedCheck)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-connected:
			w.queues.WakeAll() // what was announced meanwhile is lost
		case <-tick.C:
			err = w.lookUp(ctx, &at, 0)
		case m := <-stored:
			id, parseErr := w.backbone.names.Parse("session.c2d", m.Subject)
			if parseErr != nil {
				continue
			}
			n := direct.Sequence(m.Header)
			w.queues.Wake(id.Device, n)
			if at.heard(n) {
				err = w.lookUp(ctx, &at, n)
			}
		}
		if err != nil && ctx.Err() == nil {
			w.backbone.cfg.Log.Debug().Err(err).Msg("messages of which nobody has told could not be looked up")
		}
	}
}

// checkLoop settles at once what nobody can ever deliver. What it misses, the
// sweep finds.
func (w *c2dKeeper) checkLoop(ctx context.Context, checks <-chan *nats.Msg) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-checks:
			if err := w.check(ctx, m); err != nil && ctx.Err() == nil {
				w.backbone.cfg.Log.Warn().Err(err).Str("subject", m.Subject).Msg("a cloud-to-device message could not be checked; the next sweep does it")
			}
		}
	}
}

// check looks at what was announced; only a message that looks bad is read.
func (w *c2dKeeper) check(ctx context.Context, m *nats.Msg) error {
	n := direct.Sequence(m.Header)
	if n == 0 {
		return nil
	}
	id, err := w.backbone.names.Parse("session.c2d", m.Subject)
	if err == nil {
		head := c2d.ParseHeaders(m.Header)
		head.Device = id.Device
		_, unknown := w.backbone.devices.Generation(ctx, hub.Identity{Device: id.Device})
		if head.Size()+direct.Size(m.Header) <= w.queues.Limits.MaxSize() && w.queues.Limits.Validate(&head, time.Now()) == nil && !errors.Is(unknown, &hub.Error{Code: hub.DeviceNotFound}) {
			return nil
		}
	}
	found, err := w.store.next(ctx, w.backbone.names.C2DAll(), n-1)
	if err != nil || found.Sequence != n {
		return err
	}
	_, err = w.queues.Inspect(ctx, found)
	return err
}

// oldQueue is what waits for a device that has just been deleted. empty drops it, and
// nothing that is sent to another device of that name meanwhile.
func (d *DeviceStore) oldQueue(ctx context.Context, device string) (empty func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := d.bucket.js.Stream(ctx, d.sessions.names.C2DStream())
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		if err == nil {
			err = purgeUpTo(ctx, stream, d.sessions.names.C2D(device), stream.CachedInfo().State.LastSeq)
		}
		if err != nil {
			d.log.Warn().Err(err).Str("device_id", device).Msg("the messages to a deleted device are left behind; the next sweep finds them")
		}
	}
}

// purgeUpTo drops the messages of a subject up to a number.
func purgeUpTo(ctx context.Context, stream jetstream.Stream, of string, last uint64) error {
	if last == 0 { // to JetStream, a purge of what is before 1 is one of all
		return nil
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(of), jetstream.WithPurgeSequence(last+1))
}

package client

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/twin"
)

// Twins reads and writes the twins of a hub over NATS. Its errors are
// *hub.Error with the hub's own code; ServiceUnavailable when no hub answers.
// It is safe for concurrent use.
type Twins struct{ c *Client }

// Twins returns the twins of the hub.
func (c *Client) Twins() *Twins { return &Twins{c} }

// Get returns the twin of a device or module.
func (t *Twins) Get(ctx context.Context, id hub.Identity) (twin.Twin, error) {
	return t.request(ctx, subject.Get, id, twin.Write{})
}

// Update merges w.Body, {"tags":{…},"properties":{"desired":{…}}}, into the
// twin and returns the new one. null deletes a key. With the etag of a twin in
// w.IfMatch it fails with PreconditionFailed when somebody else has written
// tags or desired properties meanwhile.
func (t *Twins) Update(ctx context.Context, id hub.Identity, w twin.Write) (twin.Twin, error) {
	return t.request(ctx, subject.Update, id, w)
}

// Replace puts w.Body in place of tags and desired properties and returns the
// new twin; what the body does not name becomes empty. See [Twins.Update].
func (t *Twins) Replace(ctx context.Context, id hub.Identity, w twin.Write) (twin.Twin, error) {
	return t.request(ctx, subject.Replace, id, w)
}

func (t *Twins) request(ctx context.Context, v subject.Verb, id hub.Identity, w twin.Write) (twin.Twin, error) {
	if !hub.ValidID(id.Device) || id.IsModule() && !hub.ValidID(id.Module) {
		return twin.Twin{}, hub.Errorf(hub.ArgumentInvalid, "%q is not the id of a device or module", id)
	}
	m := nats.NewMsg(t.c.names.Twin(v, id))
	m.Data = w.Body
	if w.IfMatch != "" {
		m.Header.Set("If-Match", w.IfMatch)
	}
	if w.By != "" {
		m.Header.Set(subject.ByHeader, w.By)
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	answer, err := t.c.ask(ctx, m)
	if err != nil {
		return twin.Twin{}, err
	}
	return twin.Parse(answer.Data)
}

// TwinRevision is one entry in the history of a twin.
type TwinRevision struct {
	// Revision is the number of the write in the bucket.
	Revision uint64
	// Time is when it was written.
	Time time.Time
	// By is who wrote: the device itself, or what a back end calls itself,
	// which nobody has checked. Op is what was done.
	By string
	Op twin.Op
	// Generation is that of the identity: another one is another device of the
	// same name.
	Generation string
	// Deleted says that the twin was deleted with its identity; Twin is zero
	// then.
	Deleted bool
	Twin    twin.Twin
}

// History returns what the bucket still has of a twin, the oldest first: the
// last 10 writes unless an operator has changed that. There is no service for
// it: the account must be allowed to read the stream of the bucket. A twin that
// was never written has none.
func (t *Twins) History(ctx context.Context, id hub.Identity) ([]TwinRevision, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	bucket := t.c.names.TwinBucket()
	stream, err := t.c.js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return nil, hub.Errorf(hub.ServiceUnavailable, "open bucket %s: %w", bucket, err)
	}
	key := "$KV." + bucket + "." + subject.Key(id)
	var all []TwinRevision
	for seq := uint64(1); ; {
		m, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(key))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all, nil
		}
		if err != nil {
			return nil, hub.Errorf(hub.ServiceUnavailable, "read the history of %s: %w", id, err)
		}
		r, err := revision(m)
		if err != nil {
			return nil, err
		}
		seq = m.Sequence + 1
		if r.Op == "" && m.Header.Get(subject.EpochHeader) != "" {
			continue // a new connection has fenced the twin, and changed nothing
		}
		all = append(all, r)
	}
}

func revision(m *jetstream.RawStreamMsg) (TwinRevision, error) {
	r := TwinRevision{
		Revision: m.Sequence, Time: m.Time, By: m.Header.Get(subject.ByHeader), Op: twin.Op(m.Header.Get(subject.OpHeader)),
		Generation: m.Header.Get(subject.GenerationHeader),
	}
	if m.Header.Get("KV-Operation") != "" || m.Header.Get(jetstream.MarkerReasonHeader) != "" {
		r.Deleted = true
		return r, nil
	}
	var err error
	if r.Twin, err = twin.Parse(m.Data); err != nil {
		return r, err
	}
	r.Twin.Generation, r.Twin.Revision = r.Generation, r.Revision
	return r, nil
}

// TwinOptions say which changes of twins to watch, and from where.
type TwinOptions struct {
	// Of selects one device with its modules, or one module. Zero: all.
	Of hub.Identity
	// FromStart begins with the oldest change that is kept, Since with the
	// first one at or after a time, and neither with new ones.
	FromStart bool
	Since     time.Time
}

// TwinEvent is a change of a twin.
type TwinEvent struct {
	ID hub.Identity
	// Op is what was done, and By who did it, as in [TwinRevision].
	Op twin.Op
	By string
	// Time is when the event was stored.
	Time time.Time
	// Body is IoT Hub's: of an update what has changed with its metadata, of a
	// replacement the whole twin.
	Body []byte
	// Sequence is its number in the stream of events.
	Sequence uint64
}

// Watch calls handle for one change after another until ctx ends or handle
// fails; [ErrStop] ends it without an error. Interruptions of the connection
// are waited out.
func (t *Twins) Watch(ctx context.Context, o TwinOptions, handle func(TwinEvent) error) error {
	consumer, err := t.consumer(ctx, o)
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(t.c.ahead(AckNone))
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", t.c.names.EventsStream(), err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, jetstream.ErrNoHeartbeat), errors.Is(err, nats.ErrDisconnected):
			continue
		case err != nil:
			return hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", t.c.names.EventsStream(), err)
		}
		if err := t.deliver(m, handle); err != nil {
			if errors.Is(err, ErrStop) {
				return nil
			}
			return err
		}
	}
}

func (t *Twins) consumer(ctx context.Context, o TwinOptions) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: t.c.names.TwinEvents(o.Of), DeliverPolicy: jetstream.DeliverNewPolicy}
	switch {
	case o.FromStart:
		cfg.DeliverPolicy = jetstream.DeliverAllPolicy
	case !o.Since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &o.Since
	}
	consumer, err := t.c.ordered(ctx, t.c.names.EventsStream(), cfg)
	if err != nil {
		return nil, hub.Errorf(hub.ServiceUnavailable, "make a consumer of stream %s: %w", t.c.names.EventsStream(), err)
	}
	return consumer, nil
}

func (t *Twins) deliver(m jetstream.Msg, handle func(TwinEvent) error) error {
	id, err := t.c.names.Parse("events.twin", m.Subject())
	if err != nil {
		return nil // not of a twin that can be
	}
	meta, err := m.Metadata()
	if err != nil {
		return hub.Errorf(hub.ServerError, "read the metadata of an event: %w", err)
	}
	return handle(TwinEvent{
		ID: id, Op: twin.Op(m.Headers().Get("opType")), By: m.Headers().Get(subject.ByHeader),
		Time: meta.Timestamp, Body: m.Data(), Sequence: meta.Sequence.Stream,
	})
}

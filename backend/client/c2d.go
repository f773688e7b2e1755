package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
)

// C2D sends cloud-to-device messages and reads what became of them. Its errors
// are *hub.Error. It is safe for concurrent use.
type C2D struct{ c *Client }

// C2D returns the cloud-to-device messages of the hub.
func (c *Client) C2D() *C2D { return &C2D{c} }

// ttlGrace is how long the server keeps a message beyond its expiry when no
// gateway runs that could tell the sender of it.
const ttlGrace = 24 * time.Hour

// Send puts a message into the queue of its device and returns it with its
// number, and with a message id if it had none and has room for one. It fails
// with QueueFull when the queue is full, and with what [c2d.Limits.Validate]
// finds. Whether the device exists is not known here: a message to nobody becomes
// a dead letter.
func (s *C2D) Send(ctx context.Context, m c2d.Message) (c2d.Message, error) {
	now, limits := time.Now(), s.Limits(ctx)
	if err := limits.Validate(&m, now); err != nil {
		return m, err
	}
	if named := m; m.MessageID == "" {
		var id [16]byte
		_, _ = rand.Read(id[:])
		named.MessageID = hex.EncodeToString(id[:])
		if limits.Validate(&named, now) == nil { // it counts
			m = named
		}
	}
	msg := nats.NewMsg(s.c.names.C2D(m.Device))
	msg.Header, msg.Data = m.Headers(), m.Body
	m.Enqueued = now
	ttl := max(limits.Deadline(&m).Sub(now), 0) + ttlGrace
	ctx, cancel := limited(ctx)
	defer cancel()
	ack, err := s.c.js.PublishMsg(ctx, msg, jetstream.WithMsgTTL(ttl.Truncate(time.Second)))
	if err != nil {
		return m, s.fault(m.Device, err)
	}
	m.Sequence = ack.Sequence
	return m, nil
}

func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, requestTimeout)
}

const (
	// storeFailed is JetStream's code for a message that breaks a limit of the
	// stream; which one, says its text.
	storeFailed    = 10077
	headersTooLong = 10097
)

func (s *C2D) fault(device string, err error) error {
	e, ok := errors.AsType[*jetstream.APIError](err)
	if ok && e.ErrorCode == storeFailed && strings.Contains(e.Description, "per subject") {
		return hub.Errorf(hub.QueueFull, "the queue of %s is full: the device must take its messages first, or somebody purges it", device)
	}
	if ok && e.ErrorCode == storeFailed {
		return hub.Errorf(hub.QuotaExceeded, "the stream %s is full: %w", s.c.names.C2DStream(), err)
	}
	if ok && e.ErrorCode == headersTooLong {
		return hub.Errorf(hub.MessageTooLarge, "the properties make longer headers than NATS takes: %s", e.Description)
	}
	return unanswered(s.c.names.C2D(device), err)
}

// Purge empties the queue of a device and returns how many messages there
// were. Senders who wanted feedback hear of it.
func (s *C2D) Purge(ctx context.Context, device string) (int, error) {
	var reply struct {
		Count int `json:"totalMessagesPurged"`
	}
	if !hub.ValidID(device) {
		return 0, hub.Errorf(hub.ArgumentInvalid, "%.140q is not the id of a device", device)
	}
	err := s.c.request(ctx, call{subject: s.c.names.C2DPurge(device)}, &reply)
	return reply.Count, err
}

// Queue goes through the messages that wait for a device, the oldest first.
// Those that are on their way are among them. An error ends it.
func (s *C2D) Queue(ctx context.Context, device string) iter.Seq2[c2d.Message, error] {
	return func(yield func(c2d.Message, error) bool) {
		for raw, err := range s.read(ctx, s.c.names.C2DStream(), s.c.names.C2D(device)) {
			if err != nil {
				yield(c2d.Message{}, err)
				return
			}
			m := c2d.ParseHeaders(raw.Header.Map())
			m.Device, m.Body, m.Sequence, m.Enqueued = device, raw.Data, raw.Sequence, raw.Time
			if raw.Damaged {
				m.Fault = hub.Errorf(hub.ArgumentInvalid, "the headers are not those of a NATS message")
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// read goes through the messages of a stream that are there now, without a
// consumer.
func (s *C2D) read(ctx context.Context, name, subjects string) iter.Seq2[direct.Message, error] {
	return func(yield func(direct.Message, error) bool) {
		reader := direct.New(s.c.js, name)
		for next := uint64(1); ; {
			m, err := readNext(ctx, reader, next, subjects)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return
			}
			if err != nil {
				yield(m, unread(name, err))
				return
			}
			if !yield(m, nil) {
				return
			}
			next = m.Sequence + 1
		}
	}
}

func readNext(ctx context.Context, r *direct.Reader, from uint64, subjects string) (direct.Message, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	return r.Next(ctx, from, subjects)
}

// unread says that a stream can't be read. That the caller has given up is no
// fault of it.
func unread(name string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", name, err)
}

func (s *C2D) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	return s.c.js.Stream(ctx, name)
}

// DeadLetters goes through the messages that were not delivered to a device, or
// to any device if that is empty, the oldest first. An error ends it.
func (s *C2D) DeadLetters(ctx context.Context, device string) iter.Seq2[c2d.DeadLetter, error] {
	subjects := s.c.names.DeadLetterAll()
	if device != "" {
		subjects = s.c.names.DeadLetter(device)
	}
	return func(yield func(c2d.DeadLetter, error) bool) {
		for raw, err := range s.read(ctx, s.c.names.DeadLetterStream(), subjects) {
			if err != nil {
				yield(c2d.DeadLetter{}, err)
				return
			}
			if !yield(s.deadLetter(raw), nil) {
				return
			}
		}
	}
}

func (s *C2D) deadLetter(raw direct.Message) c2d.DeadLetter {
	d := c2d.DeadLetter{
		Message: c2d.ParseHeaders(raw.Header.Map()), Status: c2d.Status(raw.Header.Get(subject.DeadLetterStatus)),
		Description: raw.Header.Get(subject.DeadLetterDescription), Sequence: raw.Sequence, Time: raw.Time,
	}
	if id, err := s.c.names.Parse("deadletter", raw.Subject); err == nil {
		d.Message.Device = id.Device
	}
	d.Message.Body = raw.Data
	d.Message.Sequence, _ = strconv.ParseUint(raw.Header.Get(subject.DeadLetterSequence), 10, 64)
	d.Message.Deliveries, _ = strconv.Atoi(raw.Header.Get(subject.DeadLetterDeliveries))
	d.Message.Enqueued, _ = time.Parse(time.RFC3339Nano, raw.Header.Get(subject.DeadLetterEnqueued))
	return d
}

// Requeue sends a dead letter again, with the default time to live, and takes
// it from the dead letters. One that has lost a part of its body can't be sent.
func (s *C2D) Requeue(ctx context.Context, sequence uint64) (c2d.Message, error) {
	stream, err := s.stream(ctx, s.c.names.DeadLetterStream())
	if err != nil {
		return c2d.Message{}, hub.Errorf(hub.ServiceUnavailable, "open stream %s: %w", s.c.names.DeadLetterStream(), err)
	}
	limit, cancel := limited(ctx)
	defer cancel()
	raw, err := direct.New(s.c.js, s.c.names.DeadLetterStream()).Get(limit, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return c2d.Message{}, hub.Errorf(hub.NotFound, "there is no dead letter %d", sequence)
	}
	if err != nil {
		return c2d.Message{}, hub.Errorf(hub.ServiceUnavailable, "read dead letter %d: %w", sequence, err)
	}
	if raw.Header.Get(subject.DeadLetterTruncated) != "" {
		return c2d.Message{}, hub.Errorf(hub.MessageTooLarge, "dead letter %d is incomplete", sequence)
	}
	m := s.deadLetter(raw).Message
	m.Expires = time.Time{}
	if m, err = s.Send(ctx, m); err != nil {
		return m, err
	}
	if err := stream.DeleteMsg(limit, sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return m, hub.Errorf(hub.ServiceUnavailable, "the message is sent, but dead letter %d could not be removed: %w", sequence, err)
	}
	return m, nil
}

// FeedbackOptions select feedback. The zero value is all of it from now on.
type FeedbackOptions struct {
	// Durable names a consumer that remembers where it is; empty: none does.
	Durable string
	// Device selects the messages of one device; empty: all.
	Device string
	// FromStart begins with the oldest feedback that is kept.
	FromStart bool
}

// Feedback calls handle for one feedback after another until ctx ends or handle
// fails; [ErrStop] ends it without an error. A durable consumer gets again what
// handle failed for.
func (s *C2D) Feedback(ctx context.Context, o FeedbackOptions, handle func(c2d.Feedback) error) error {
	consumer, err := s.feedback(ctx, o)
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "make a consumer of stream %s: %w", s.c.names.FeedbackStream(), err)
	}
	messages, err := consumer.Messages(o.prefetch()...)
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", s.c.names.FeedbackStream(), err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, jetstream.ErrNoHeartbeat), errors.Is(err, nats.ErrDisconnected):
			continue
		default:
			return hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", s.c.names.FeedbackStream(), err)
		}
		err = o.take(m, handle)
		if errors.Is(err, ErrStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take hands on one feedback and acknowledges it. What is no feedback is passed
// over.
func (o FeedbackOptions) take(m jetstream.Msg, handle func(c2d.Feedback) error) error {
	var f c2d.Feedback
	var err error
	if json.Unmarshal(m.Data(), &f) == nil {
		err = handle(f)
	}
	switch {
	case o.Durable == "":
		return err
	case err == nil, errors.Is(err, ErrStop):
		return errors.Join(err, m.Ack())
	default:
		return errors.Join(err, m.Nak()) // it comes again at once
	}
}

// prefetch keeps a durable consumer from having more than the feedback that is
// handled: what it has and does not handle comes again only after a while.
func (o FeedbackOptions) prefetch() []jetstream.PullMessagesOpt {
	if o.Durable == "" {
		return nil
	}
	return []jetstream.PullMessagesOpt{jetstream.PullMaxMessages(1)}
}

func (s *C2D) feedback(ctx context.Context, o FeedbackOptions) (jetstream.Consumer, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	filter, policy := s.c.names.FeedbackAll(), jetstream.DeliverNewPolicy
	if o.Device != "" {
		filter = s.c.names.Feedback(o.Device)
	}
	if o.FromStart {
		policy = jetstream.DeliverAllPolicy
	}
	stream := s.c.names.FeedbackStream()
	if o.Durable == "" {
		return s.c.ordered(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}, DeliverPolicy: policy})
	}
	consumer, err := s.c.js.Consumer(ctx, stream, o.Durable)
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return consumer, err
	}
	return s.c.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: o.Durable, FilterSubject: filter, DeliverPolicy: policy, AckPolicy: jetstream.AckExplicitPolicy,
	})
}

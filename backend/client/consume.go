package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/telemetry"
)

// Ack says when a durable consumer has seen a message for good.
type Ack int

// The ways to acknowledge.
const (
	// AckAll acknowledges in batches: after a crash some messages come again.
	// It is the default and the fastest that loses nothing. One process at a
	// time can use the durable consumer, and the NATS server must be 2.14 or
	// newer.
	AckAll Ack = iota
	// AckEach acknowledges every message. Several processes can share the
	// durable consumer then.
	AckEach
	// AckNone acknowledges nothing: after a crash the messages that were on
	// their way are lost to this consumer.
	AckNone
)

// TelemetryOptions select which messages to consume. The zero value is all
// messages from now on.
type TelemetryOptions struct {
	// Durable names a consumer that remembers where it is. Empty: none does,
	// and nothing needs to be acknowledged.
	Durable string
	// Of selects one device with its modules, or one module. Zero: all.
	Of hub.Identity
	// FromStart begins with the oldest message that is kept, Since with the
	// first one at or after a time, and neither with new ones. A durable
	// consumer that exists already goes on where it was.
	FromStart bool
	Since     time.Time
	// Ack is for a durable consumer.
	Ack Ack
}

// Event is a device-to-cloud message.
type Event struct {
	telemetry.Event
	// Stream is where it is stored: one of several, if telemetry is divided.
	Stream string
	// Sequence is its number in the stream: a duplicate has another one.
	Sequence uint64
	// Stored is when JetStream stored it.
	Stored time.Time
}

// ErrStop ends Consume without an error when the handler returns it. The
// message that it is returned for counts as handled.
var ErrStop = errors.New("stop consuming")

const (
	// prefetch is how many messages are asked for at once. Those that have to be
	// acknowledged must be handled within the server's 30 s, all of them.
	prefetch = 500
	ackBatch = 100

	// What needs no acknowledgement is asked for further ahead: a server that is busy
	// storing comes to a request late, and delivers no more than was asked for until
	// then.
	readAhead      = 16384
	readAheadBytes = 16 << 20
)

// ahead is how far ahead of the handler the server delivers.
func (c *Client) ahead(a Ack) jetstream.PullMessagesOpt {
	if a != AckNone {
		return jetstream.PullMaxMessages(prefetch)
	}
	largest := int(c.js.Conn().MaxPayload()) // with less, the largest message would never come
	return jetstream.PullMaxMessagesWithBytesLimit(readAhead, max(readAheadBytes, 2*largest))
}

// errGap means that messages were delivered and have not come.
var errGap = errors.New("messages are missing from the delivery")

// Consume calls handle for one message after another, in the order of the
// stream, until ctx ends or handle fails; the message that it failed for is not
// acknowledged and comes again to a durable consumer. Interruptions of the
// connection are waited out. Where telemetry is divided into several streams, all
// of them are read, also those that are made meanwhile; those of one device are in
// one stream.
func (c *Client) Consume(ctx context.Context, o TelemetryOptions, handle func(Event) error) error {
	return newConsumption(c, o, handle).run(ctx)
}

// consumeAll is consume until there is no gap.
func (c *Client) consumeAll(ctx context.Context, s source, handle func(Event) error) error {
	for {
		err := c.consume(ctx, s, handle)
		if !errors.Is(err, errGap) {
			return err
		}
	}
}

func (c *Client) consume(ctx context.Context, s source, handle func(Event) error) error {
	o := s.options
	consumer, err := c.consumer(ctx, s)
	if err != nil {
		return err
	}
	acks := acker{policy: o.Ack}
	if o.Durable == "" {
		acks.policy = AckNone
	}
	messages, err := consumer.Messages(c.ahead(acks.policy))
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", s.stream, err)
	}
	var failed jetstream.Msg
	defer func() { acks.giveBack(messages, failed) }()
	for {
		m, err := c.next(ctx, s.stream, messages)
		if err == nil {
			err = acks.check(m)
		}
		if err == nil {
			err = c.deliver(m, handle)
			if err == nil || errors.Is(err, ErrStop) {
				err = errors.Join(err, acks.add(m))
			} else {
				failed = m
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, ErrStop), errors.Is(err, errOver):
			return acks.finish()
		default:
			return errors.Join(err, acks.finish())
		}
	}
}

// next waits for a message.
func (c *Client) next(ctx context.Context, stream string, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		switch {
		case err == nil:
			return m, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, jetstream.ErrNoHeartbeat), errors.Is(err, nats.ErrDisconnected):
		default:
			return nil, hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", stream, err)
		}
	}
}

func (c *Client) deliver(m jetstream.Msg, handle func(Event) error) error {
	e := Event{Event: telemetry.ParseHeaders(m.Headers())}
	e.Body = m.Data()
	if id, err := c.names.Parse("telemetry", m.Subject()); err == nil {
		e.From = id // what the stream says, whatever the headers do
	}
	meta, err := m.Metadata()
	if err != nil {
		return hub.Errorf(hub.ServerError, "read the metadata of a message: %w", err)
	}
	e.Stream, e.Sequence, e.Stored = meta.Stream, meta.Sequence.Stream, meta.Timestamp
	return handle(e)
}

// acker acknowledges what has been handled.
type acker struct {
	policy    Ack
	last      jetstream.Msg // handled, not acknowledged yet
	count     int
	delivered uint64 // the consumer's number of the last message that came
}

// check finds gaps with AckAll, where acknowledging a message acknowledges
// those before it, also what the server has delivered to a connection that
// broke and will deliver again only later. Such a message would be lost.
func (a *acker) check(m jetstream.Msg) error {
	if a.policy != AckAll {
		return nil
	}
	meta, err := m.Metadata()
	if err != nil {
		return hub.Errorf(hub.ServerError, "read the metadata of a message: %w", err)
	}
	if a.delivered++; meta.Sequence.Consumer != a.delivered {
		return errGap
	}
	return nil
}

// giveBack ends the delivery. With AckEach it lets the server deliver again at
// once what has come and was not handled: failed, and what came behind. That
// waits until the server no longer delivers to this consumption.
func (a *acker) giveBack(messages jetstream.MessagesContext, failed jetstream.Msg) {
	if a.policy != AckEach {
		messages.Stop()
		return
	}
	messages.Drain()
	back := []jetstream.Msg{failed}
	for {
		m, err := messages.Next()
		if err != nil {
			break
		}
		back = append(back, m)
	}
	for _, m := range back {
		if m != nil {
			_ = m.Nak() // or it comes again later
		}
	}
}

func (a *acker) add(m jetstream.Msg) error {
	switch a.policy {
	case AckEach:
		return m.Ack()
	case AckAll:
		a.last = m
		a.count++
		meta, err := m.Metadata()
		if err != nil || meta.NumPending == 0 || a.count >= ackBatch {
			return a.flush()
		}
	case AckNone:
	}
	return nil
}

func (a *acker) flush() error {
	if a.last == nil {
		return nil
	}
	m := a.last
	a.last, a.count = nil, 0
	return m.Ack()
}

// ackTimeout bounds the wait for the last acknowledgement.
const ackTimeout = 2 * time.Second

// finish is flush that waits until the server has taken it: whoever consumes
// next would otherwise get messages again that were handled.
func (a *acker) finish() error {
	if a.last == nil {
		return nil
	}
	m := a.last
	a.last, a.count = nil, 0
	ctx, cancel := context.WithTimeout(context.Background(), ackTimeout)
	defer cancel()
	return m.DoubleAck(ctx)
}

func (c *Client) consumer(ctx context.Context, s source) (jetstream.Consumer, error) {
	o, stream := s.options, s.stream
	var filters []string
	if o.Of != (hub.Identity{}) {
		filters = c.names.TelemetryOf(o.Of)
	}
	policy, since := jetstream.DeliverNewPolicy, (*time.Time)(nil)
	switch {
	case o.FromStart:
		policy = jetstream.DeliverAllPolicy
	case !o.Since.IsZero():
		policy, since = jetstream.DeliverByStartTimePolicy, &o.Since
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var consumer jetstream.Consumer
	var err error
	if o.Durable == "" {
		consumer, err = c.ordered(ctx, stream, jetstream.OrderedConsumerConfig{
			FilterSubjects: filters, DeliverPolicy: policy, OptStartTime: since,
		})
	} else {
		consumer, err = c.durable(ctx, stream, jetstream.ConsumerConfig{
			Durable: o.Durable, FilterSubjects: filters, DeliverPolicy: policy, OptStartTime: since, AckPolicy: o.Ack.policy(),
		})
	}
	if err != nil {
		return nil, hub.Errorf(hub.ServiceUnavailable, "make a consumer of stream %s: %w", stream, err)
	}
	return consumer, nil
}

// probeAge is how long a consumer is kept that only says where a stream ends.
const probeAge = 5 * time.Second

// ordered makes a consumer that remembers nothing. It is made anew after each
// interruption, and as long as no message has come it would begin where cfg says: with
// what is new then, and not with what was new when it was made first. So that is
// written as a number.
func (c *Client) ordered(ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig) (jetstream.Consumer, error) {
	if cfg.DeliverPolicy == jetstream.DeliverNewPolicy {
		probe := cfg
		probe.InactiveThreshold = probeAge
		end, err := c.js.OrderedConsumer(ctx, stream, probe)
		if err != nil {
			return nil, err
		}
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, end.CachedInfo().Delivered.Stream+1
	}
	return c.js.OrderedConsumer(ctx, stream, cfg)
}

// durable returns the consumer of that name. Where it begins was decided when
// it was made, so an existing one is taken as it is. With AckAll it goes back
// to the first message that is not acknowledged and counts anew from 1: what
// was delivered to a process that is gone comes again at once and in order.
func (c *Client) durable(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	name := cfg.Durable
	consumer, err := c.js.Consumer(ctx, stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return c.js.CreateConsumer(ctx, stream, cfg)
	}
	if err == nil && cfg.AckPolicy == jetstream.AckAllPolicy {
		if _, err = c.js.ResetConsumer(ctx, stream, name); err != nil {
			err = fmt.Errorf("go back to what is not acknowledged, which takes nats-server 2.14 or newer (with an older one use AckEach): %w", err)
		}
	}
	return consumer, err
}

func (a Ack) policy() jetstream.AckPolicy {
	switch a {
	case AckEach:
		return jetstream.AckExplicitPolicy
	case AckNone:
		return jetstream.AckNonePolicy
	case AckAll:
		fallthrough
	default:
		return jetstream.AckAllPolicy
	}
}

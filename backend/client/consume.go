package client

import (
	"context"
	"errors"
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
	// It is the default and the fastest that loses nothing.
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
	// Sequence is its number in the stream: a duplicate has another one.
	Sequence uint64
	// Stored is when JetStream stored it.
	Stored time.Time
}

// ErrStop ends Consume without an error when the handler returns it. The
// message that it is returned for counts as handled.
var ErrStop = errors.New("stop consuming")

const (
	prefetch = 500
	ackBatch = 100
)

// Consume calls handle for one message after another, in the order of the
// stream, until ctx ends or handle fails; the message that it failed for is not
// acknowledged and comes again to a durable consumer. Interruptions of the
// connection are waited out.
func (c *Client) Consume(ctx context.Context, o TelemetryOptions, handle func(Event) error) error {
	consumer, err := c.consumer(ctx, o)
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(prefetch))
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", c.names.TelemetryStream(), err)
	}
	defer messages.Stop()
	acks := acker{policy: o.Ack}
	if o.Durable == "" {
		acks.policy = AckNone
	}
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			if ctx.Err() != nil {
				return errors.Join(ctx.Err(), acks.flush())
			}
			if errors.Is(err, jetstream.ErrNoHeartbeat) || errors.Is(err, nats.ErrDisconnected) {
				continue
			}
			return hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", c.names.TelemetryStream(), err)
		}
		err = c.deliver(m, handle)
		if err == nil || errors.Is(err, ErrStop) {
			err = errors.Join(err, acks.add(m))
		}
		switch {
		case err == nil:
		case errors.Is(err, ErrStop):
			return acks.flush()
		default:
			return errors.Join(err, acks.flush())
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
	e.Sequence, e.Stored = meta.Sequence.Stream, meta.Timestamp
	return handle(e)
}

// acker acknowledges what has been handled.
type acker struct {
	policy Ack
	last   jetstream.Msg // handled, not acknowledged yet
	count  int
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

func (c *Client) consumer(ctx context.Context, o TelemetryOptions) (jetstream.Consumer, error) {
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
	stream := c.names.TelemetryStream()
	var consumer jetstream.Consumer
	var err error
	if o.Durable == "" {
		consumer, err = c.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
			FilterSubjects: filters, DeliverPolicy: policy, OptStartTime: since,
		})
	} else {
		consumer, err = c.durable(ctx, o.Durable, jetstream.ConsumerConfig{
			Durable: o.Durable, FilterSubjects: filters, DeliverPolicy: policy, OptStartTime: since, AckPolicy: o.Ack.policy(),
		})
	}
	if err != nil {
		return nil, hub.Errorf(hub.ServiceUnavailable, "make a consumer of stream %s: %w", stream, err)
	}
	return consumer, nil
}

// durable returns the consumer of that name. Where it begins was decided when
// it was made, so an existing one is taken as it is.
func (c *Client) durable(ctx context.Context, name string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := c.js.Consumer(ctx, c.names.TelemetryStream(), name)
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return consumer, err
	}
	return c.js.CreateConsumer(ctx, c.names.TelemetryStream(), cfg)
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

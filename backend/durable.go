package backend

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
)

// durable is JetStream as the stores of this package see it when an answer of
// the server is not enough: what writes returns when the disk has what the server
// has written. A write that the server refuses waits too, for the refusal speaks
// of what somebody else has written, and callers repeat it: a key is there, a
// message is deleted already.
//
// What is not here does not wait: reads, which promise nothing, and consumers,
// whose state the server writes when it finds the time with any setting.
type durable struct {
	jetstream.JetStream
	commits *commits
}

// durably makes js wait for c, if there is anything to wait for.
func durably(js jetstream.JetStream, c *commits) jetstream.JetStream {
	if c == nil {
		return js
	}
	return durable{js, c}
}

// Asker implements what [direct.AskerOf] asks for.
func (d durable) Asker() direct.Asker { return direct.AskerOf(d.JetStream) }

// onceCommitted is the answer of a write once the disk has it.
func onceCommitted[T any](ctx context.Context, c *commits, answer T, err error) (T, error) {
	if late := c.wait(ctx); late != nil {
		var none T
		return none, late
	}
	return answer, err
}

// Publish implements [jetstream.Publisher].
func (d durable) Publish(ctx context.Context, subject string, data []byte, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := d.JetStream.Publish(ctx, subject, data, opts...)
	return onceCommitted(ctx, d.commits, ack, err)
}

// PublishMsg implements [jetstream.Publisher].
func (d durable) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := d.JetStream.PublishMsg(ctx, m, opts...)
	return onceCommitted(ctx, d.commits, ack, err)
}

// CreateStream implements [jetstream.StreamManager].
func (d durable) CreateStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := d.JetStream.CreateStream(ctx, cfg)
	return onceCommitted(ctx, d.commits, d.stream(s), err)
}

// UpdateStream implements [jetstream.StreamManager].
func (d durable) UpdateStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := d.JetStream.UpdateStream(ctx, cfg)
	return onceCommitted(ctx, d.commits, d.stream(s), err)
}

// Stream implements [jetstream.StreamManager].
func (d durable) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := d.JetStream.Stream(ctx, name)
	return d.stream(s), err
}

// KeyValue implements [jetstream.KeyValueManager].
func (d durable) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	kv, err := d.JetStream.KeyValue(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return durableKeys{kv, d.commits}, nil
}

func (d durable) stream(s jetstream.Stream) jetstream.Stream {
	if s == nil {
		return nil
	}
	return durableStream{s, d.commits}
}

// durableStream is a stream of durable.
type durableStream struct {
	jetstream.Stream
	commits *commits
}

// DeleteMsg implements [jetstream.Stream].
func (s durableStream) DeleteMsg(ctx context.Context, sequence uint64) error {
	_, err := onceCommitted(ctx, s.commits, struct{}{}, s.Stream.DeleteMsg(ctx, sequence))
	return err
}

// Purge implements [jetstream.Stream].
func (s durableStream) Purge(ctx context.Context, opts ...jetstream.StreamPurgeOpt) error {
	_, err := onceCommitted(ctx, s.commits, struct{}{}, s.Stream.Purge(ctx, opts...))
	return err
}

// durableKeys is a bucket of durable.
type durableKeys struct {
	jetstream.KeyValue
	commits *commits
}

// Put implements [jetstream.KeyValue].
func (k durableKeys) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	revision, err := k.KeyValue.Put(ctx, key, value)
	return onceCommitted(ctx, k.commits, revision, err)
}

// Update implements [jetstream.KeyValue].
func (k durableKeys) Update(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	revision, err := k.KeyValue.Update(ctx, key, value, last)
	return onceCommitted(ctx, k.commits, revision, err)
}

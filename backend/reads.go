package backend

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
)

// readerOf returns a reader of a stream that sees every write which has been
// acknowledged to anybody on any node.
//
// JetStream lets each replica answer direct gets, also one that has not heard yet
// of the latest writes, so that a device which was created a moment ago would be
// unknown, or a message that was completed be there again. In a cluster the leader
// is asked instead, by another request that costs more. On a server that stands
// alone there is one copy, which answers direct gets. Whether a stream is in a
// cluster is asked and not its number of replicas, which may be raised later.
func readerOf(js jetstream.JetStream, s jetstream.Stream) *direct.Reader {
	info := s.CachedInfo()
	if info.Cluster != nil && info.Cluster.Name != "" {
		return direct.FromLeader(js, info.Config.Name)
	}
	return direct.New(js, info.Config.Name)
}

// last returns the last message of a key, or fails with
// [jetstream.ErrMsgNotFound].
func (b *bucket) last(ctx context.Context, key string) (*direct.Message, error) {
	if key == "" {
		return nil, jetstream.ErrInvalidKey
	}
	m, err := b.reader.Latest(ctx, b.subject(key))
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// errBehind says that a consumer reads a replica that does not have all yet.
var errBehind = errors.New("a replica is behind the leader")

// behind fails with errBehind when the bucket has a message from one revision to
// another of which a consumer does not know that has told all it has. A consumer
// reads the replica where it runs, and that may be one that is catching up.
func (b *bucket) behind(ctx context.Context, from, to uint64) error {
	if from > to || !b.reader.IsFresh() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := b.reader.Next(ctx, from, b.subject(">"))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil
	case err != nil:
		return b.fault("read", "what is next", err)
	case m.Sequence <= to:
		return b.fault("follow", "all keys", errBehind)
	default:
		return nil // it was written later
	}
}

// keyEntry is a key with its value, as [bucket.get] has read it.
type keyEntry struct {
	bucket, key string
	raw         direct.Message
}

var _ jetstream.KeyValueEntry = keyEntry{}

// Bucket implements [jetstream.KeyValueEntry].
func (e keyEntry) Bucket() string { return e.bucket }

// Key implements [jetstream.KeyValueEntry].
func (e keyEntry) Key() string { return e.key }

// Value implements [jetstream.KeyValueEntry].
func (e keyEntry) Value() []byte { return e.raw.Data }

// Revision implements [jetstream.KeyValueEntry].
func (e keyEntry) Revision() uint64 { return e.raw.Sequence }

// Created implements [jetstream.KeyValueEntry].
func (e keyEntry) Created() time.Time { return e.raw.Time }

// Delta implements [jetstream.KeyValueEntry]: it is the latest.
func (e keyEntry) Delta() uint64 { return 0 }

// Operation implements [jetstream.KeyValueEntry]: what is gone is not read.
func (e keyEntry) Operation() jetstream.KeyValueOp { return jetstream.KeyValuePut }

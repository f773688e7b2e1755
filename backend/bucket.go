package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// requestTimeout bounds one request to JetStream whose caller waits longer.
const requestTimeout = 5 * time.Second

// errStale means that a compare-and-set met another revision.
var errStale = errors.New("the revision is no longer current")

// bucket is a key-value bucket whose failures are *hub.Error, errStale, or
// jetstream.ErrKeyNotFound, ErrKeyExists.
type bucket struct {
	kv   jetstream.KeyValue
	js   jetstream.JetStream
	name string
}

func openBucket(ctx context.Context, js jetstream.JetStream, name string) (*bucket, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	kv, err := js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	return &bucket{kv: kv, js: js, name: name}, nil
}

func (b *bucket) get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	e, err := b.kv.Get(ctx, key)
	return e, b.fault("read", key, err)
}

// create writes a key that is not there.
func (b *bucket) create(ctx context.Context, key string, value []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	rev, err := b.kv.Create(ctx, key, value)
	return rev, b.fault("create", key, err)
}

// update writes a key that has still this revision.
func (b *bucket) update(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	rev, err := b.kv.Update(ctx, key, value, rev)
	return rev, b.fault("write", key, err)
}

// put creates a key for revision 0 and updates it otherwise.
func (b *bucket) put(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if rev == 0 {
		return b.create(ctx, key, value)
	}
	return b.update(ctx, key, value, rev)
}

// remove purges a key; rev 0 means whatever its revision. What is left is a
// marker for those who watch, and it goes after markerAge.
func (b *bucket) remove(ctx context.Context, key string, rev uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	opts := []jetstream.KVDeleteOpt{jetstream.PurgeTTL(markerAge)}
	if rev > 0 {
		opts = append(opts, jetstream.LastRevision(rev))
	}
	return b.fault("remove", key, b.kv.Purge(ctx, key, opts...))
}

// fault classifies what a request met.
func (b *bucket) fault(verb, key string, err error) error {
	switch {
	case err == nil, errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyExists) && verb == "create":
		return err
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return hub.Errorf(hub.ServiceUnavailable, "%s %s in bucket %s: there is no connection to NATS: %w", verb, key, b.name, err)
	}
	switch apiCode(err) {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return errStale
	case jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return hub.Errorf(hub.MessageTooLarge, "%s %s in bucket %s: more than %d bytes: %w", verb, key, b.name, maxRecordBytes, err)
	default:
		return hub.Errorf(hub.ServiceUnavailable, "%s %s in bucket %s: %w", verb, key, b.name, err)
	}
}

package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/hub"
)

// requestTimeout bounds one request to JetStream whose caller waits longer.
const requestTimeout = direct.Patience

// errStale means that a compare-and-set met another revision.
var errStale = errors.New("the revision is no longer current")

// bucket is a key-value bucket whose failures are *hub.Error, errStale, or
// jetstream.ErrKeyNotFound, ErrKeyExists.
type bucket struct {
	kv     jetstream.KeyValue
	js     jetstream.JetStream
	writer publisher
	reader *direct.Reader // see readerOf
	name   string
	// marker is how long a deleted key leaves a marker for those who watch. 0:
	// markerAge.
	marker time.Duration

	written atomic.Uint64 // see wrote
}

// wrote notes a revision that this process has written: whoever reads a copy of
// the bucket may have to wait for it.
func (b *bucket) wrote(revision uint64) {
	for last := b.written.Load(); revision > last; last = b.written.Load() {
		if b.written.CompareAndSwap(last, revision) {
			return
		}
	}
}

func openBucket(ctx context.Context, js jetstream.JetStream, name string) (*bucket, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	kv, err := js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	s, err := openStream(ctx, js, "KV_"+name)
	if err != nil {
		return nil, err
	}
	return &bucket{kv: kv, js: js, writer: publisherOf(js), reader: readerOf(js, s), name: name}, nil
}

// openStream looks a stream up that has to be there. Nobody answers while it is
// between two leaders: whoever has time asks again.
func openStream(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	s, err := js.Stream(ctx, name)
	if err != nil {
		return nil, hub.Errorf(hub.ServiceUnavailable, "open stream %s: %w", name, err)
	}
	return s, nil
}

// get reads a key, as the leader of the bucket has it; see readerOf.
func (b *bucket) get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	m, err := b.current(ctx, key)
	if err != nil {
		return nil, err
	}
	return keyEntry{b.name, key, m}, nil
}

// current is get for those who need the message with its headers. It fails with
// [jetstream.ErrKeyNotFound].
func (b *bucket) current(ctx context.Context, key string) (direct.Message, error) {
	if key == "" {
		return direct.Message{}, b.fault("read", key, jetstream.ErrInvalidKey)
	}
	m, err := b.reader.Latest(ctx, b.subject(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && isMarker(m.Header) {
		return m, jetstream.ErrKeyNotFound
	}
	return m, b.fault("read", key, err)
}

// header is that of a message, however it was read.
type header interface{ Get(name string) string }

// isMarker reports whether the message of a key marks that it is deleted.
func isMarker(h header) bool {
	return h.Get(operationHeader) != "" || h.Get(jetstream.MarkerReasonHeader) != ""
}

// create writes a key that is not there. What kv.Create would do when there was
// one and it is deleted reads the bucket by a direct get, which may not know of
// the deletion yet.
func (b *bucket) create(ctx context.Context, key string, value []byte) (uint64, error) {
	rev, err := b.replace(ctx, key, value, 0)
	if errors.Is(b.fault("create", key, err), errStale) {
		if last, readErr := b.last(ctx, key); readErr == nil && gone(last) {
			rev, err = b.replace(ctx, key, value, last.Sequence)
		}
	}
	b.wrote(rev)
	if err = b.fault("create", key, err); errors.Is(err, errStale) {
		return 0, jetstream.ErrKeyExists
	}
	return rev, err
}

// update writes a key that has still this revision.
func (b *bucket) update(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	rev, err := b.replace(ctx, key, value, rev)
	b.wrote(rev)
	return rev, b.fault("write", key, err)
}

// replace writes a key whose last message has this revision. Its errors are those
// of JetStream.
func (b *bucket) replace(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if !isKey(key) {
		return 0, jetstream.ErrInvalidKey
	}
	return b.writer.replace(ctx, direct.Request{Subject: b.putSubject(key), Data: value}, rev)
}

// texts are buffers for what is written: nobody keeps it.
//
//nolint:gochecknoglobals // a pool
var texts = sync.Pool{New: func() any { return new([]byte) }}

// put creates a key for revision 0 and updates it otherwise.
func (b *bucket) put(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if rev == 0 {
		return b.create(ctx, key, value)
	}
	return b.update(ctx, key, value, rev)
}

// remove purges a key; rev 0 means whatever its revision. What is left is a
// marker for those who watch, and it goes after a while.
func (b *bucket) remove(ctx context.Context, key string, rev uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m := nats.NewMsg(b.putSubject(key))
	m.Header.Set(operationHeader, "PURGE")
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	opts := []jetstream.PublishOpt{jetstream.WithMsgTTL(cmp.Or(b.marker, markerAge))}
	if rev > 0 {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(rev))
	}
	ack, err := b.js.PublishMsg(ctx, m, opts...) // kv.Purge does not tell the revision
	if err == nil {
		b.wrote(ack.Sequence)
	}
	return b.fault("remove", key, err)
}

// removeIf purges a key if what is there is to go, whatever is written meanwhile.
func (b *bucket) removeIf(ctx context.Context, key string, goes func(direct.Message) bool) error {
	for try := range claimAttempts {
		m, err := b.current(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) || err == nil && !goes(m) {
			return nil
		}
		if err == nil {
			err = b.remove(ctx, key, m.Sequence)
		}
		if !isConflict(err) {
			return err
		}
		wait(ctx, retryPause*time.Duration(try+1))
	}
	return hub.Errorf(hub.ServiceUnavailable, "too many write %s in bucket %s at once", key, b.name)
}

// operationHeader marks the message of a deleted key.
const operationHeader = "KV-Operation"

// subject is that of a key in the stream.
func (b *bucket) subject(key string) string { return "$KV." + b.name + "." + key }

// putSubject is where a key is written: in the domain of JetStream if it has
// one.
func (b *bucket) putSubject(key string) string {
	if domain := b.js.Options().Domain; domain != "" {
		return "$JS." + domain + ".API." + b.subject(key)
	}
	return b.subject(key)
}

// fault classifies what a request met.
func (b *bucket) fault(verb, key string, err error) error {
	switch {
	case err == nil, errors.Is(err, jetstream.ErrKeyNotFound):
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

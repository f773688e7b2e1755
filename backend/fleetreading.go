package backend

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
)

// reading is one consumer of a feed.
type reading struct {
	feed  *feed
	last  uint64 // revision of the bucket when it began
	count uint64 // of messages that have come
	done  bool   // caughtUp was called

	batch  []written
	latest map[string]int // place in the batch of the last message of each key
}

// errGap says that messages were lost on the way.
var errGap = errors.New("messages are missing from the delivery")

// read visits what comes until ctx ends, or something is wrong.
func (r *reading) read(ctx context.Context, p *pull) error {
	r.latest = map[string]int{}
	for {
		pending, err := r.gather(ctx, p)
		switch {
		case ctx.Err() != nil:
			return ended(ctx)
		case err != nil:
			return r.feed.bucket.fault("follow", "all keys", err)
		}
		r.feed.seen = r.feed.now()
		if err := r.visit(ctx, pending); err != nil {
			return err
		}
		if pending == 0 {
			r.feed.pause(ctx)
		}
	}
}

// ended is why a watch was ended; nothing is wrong when nobody gave a reason.
func ended(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// gather takes one batch, and says how many messages are left for the next.
func (r *reading) gather(ctx context.Context, p *pull) (pending uint64, err error) {
	clear(r.batch) // their messages
	r.batch = r.batch[:0]
	clear(r.latest)
	err = p.batch(ctx, func(m *nats.Msg) error {
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if r.count++; meta.Sequence.Consumer != r.count {
			return errGap
		}
		w := writtenOf(r.feed.bucket, m, meta.Sequence.Stream)
		pending, r.latest[w.key] = meta.NumPending, len(r.batch)
		r.batch = append(r.batch, w)
		return nil
	})
	return pending, err
}

func writtenOf(b *bucket, m *nats.Msg, revision uint64) written {
	return written{
		key: strings.TrimPrefix(m.Subject, b.subject("")), revision: revision, header: m.Header, value: m.Data, gone: isMarker(m.Header),
	}
}

// visit tells of a batch: of a key that was written several times, only the last,
// as if it had been read a moment later.
func (r *reading) visit(ctx context.Context, pending uint64) error {
	if len(r.batch) == 0 {
		return nil
	}
	f := r.feed
	f.hears()
	for i, w := range r.batch {
		if r.latest[w.key] == i {
			f.visit(w)
		}
	}
	revision := r.batch[len(r.batch)-1].revision
	f.advance(revision, revision+1, false)
	if !r.done && (pending == 0 || revision >= r.last) {
		return r.caughtUp(ctx)
	}
	return nil
}

// caughtUp says that everything was visited that was there at the beginning. It
// fails when only one replica believes so.
func (r *reading) caughtUp(ctx context.Context) error {
	f := r.feed
	if err := f.bucket.behind(ctx, f.position()+1, r.last); err != nil {
		return err
	}
	r.done = true
	if !f.isReady() {
		f.end()
	}
	f.advance(r.last, max(f.next, r.last+1), true)
	return nil
}

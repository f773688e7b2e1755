package backend

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// reading is one consumer of a feed.
type reading struct {
	feed  *feed
	last  uint64 // revision of the bucket when it began
	count uint64 // of messages that have come
	done  bool   // caughtUp was called
}

// read visits what comes until ctx ends, or something is wrong.
func (r *reading) read(ctx context.Context, messages jetstream.MessagesContext) error {
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			return ended(ctx)
		case err != nil:
			return r.feed.bucket.fault("follow", "all keys", err)
		}
		if err := r.take(ctx, m); err != nil {
			return err
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

// errGap says that messages were lost on the way.
var errGap = errors.New("messages are missing from the delivery")

func (r *reading) take(ctx context.Context, m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	if r.count++; meta.Sequence.Consumer != r.count {
		return errGap
	}
	f := r.feed
	w := written{
		key: strings.TrimPrefix(m.Subject(), f.bucket.subject("")), revision: meta.Sequence.Stream, header: m.Headers(), value: m.Data(),
	}
	w.gone = w.header.Get(operationHeader) != "" || w.header.Get(jetstream.MarkerReasonHeader) != ""
	f.visit(w)
	f.advance(w.revision, w.revision+1, false)
	if !r.done && (meta.NumPending == 0 || w.revision >= r.last) {
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

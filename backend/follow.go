package backend

import (
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// lastRevision is the revision of the bucket's latest write.
func (b *bucket) lastRevision(ctx context.Context) (uint64, error) {
	info, err := b.info(ctx)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

// info is that of the bucket's stream.
func (b *bucket) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, "KV_"+b.name)
	if err != nil {
		return nil, b.fault("look up", "the latest revision", err)
	}
	return s.CachedInfo(), nil
}

// claimed reports, of the bucket of sessions, whether a session can have been
// claimed with an epoch. Epochs are revisions: one beyond the latest is of a
// bucket that is no more.
func (b *bucket) claimed(ctx context.Context, epoch uint64) (bool, error) {
	last, err := b.lastRevision(ctx)
	return epoch <= last, err
}

// follow calls visit for what is written from revision from on, and for the
// marker, a nil entry, that separates what was there from what comes. It
// returns the first revision that was not visited, without error when ctx has
// ended or when the connection to NATS was lost and is back: a server that
// starts again knows nothing of the watch, and the watch itself would notice
// that by its heartbeats only, some twenty seconds later. When the watch reads a
// replica that does not have all that was there, there is an error in place of
// the marker. When the bucket was made anew or put back from a backup, of which the
// watch says nothing, there is an error too, and next is 0: all is to be told again.
func (b *bucket) follow(ctx context.Context, from uint64, visit func(jetstream.KeyValueEntry)) (next uint64, err error) {
	back := b.js.Conn().StatusChanged(nats.CONNECTED)
	defer b.js.Conn().RemoveStatusListener(back)
	was, err := b.info(ctx)
	if err != nil {
		return from, err
	}
	var last uint64 // of what is there, as far as replicas can differ
	if b.reader.IsFresh() {
		last = was.State.LastSeq
	}
	w, err := b.kv.WatchAll(ctx, jetstream.ResumeFromRevision(from))
	if err != nil {
		return from, b.fault("watch", "all keys", err)
	}
	defer endWatch(w)
	var seen atomic.Uint64 // the last revision
	guarding, stop := context.WithCancel(ctx)
	defer stop()
	anew := b.guard(guarding, was, &seen)
	for {
		select {
		case <-ctx.Done():
			return from, nil
		case <-back:
			return from, nil
		case <-anew:
			return 0, b.fault("watch", "all keys", errAnew)
		case e, open := <-w.Updates():
			if !open {
				return from, hub.Errorf(hub.ServiceUnavailable, "watching bucket %s has ended", b.name)
			}
			if e != nil {
				from = e.Revision() + 1
				seen.Store(e.Revision())
			} else if err := b.behind(ctx, from, last); err != nil {
				return from, err
			}
			visit(e)
		}
	}
}

// endWatch ends a watch, whose server may be about to give it one more.
func endWatch(w jetstream.KeyWatcher) {
	_ = w.Stop()
	go func() {
		for range w.Updates() {
		}
	}()
}

// guard looks after the bucket that was there at first, until ctx ends, and closes anew when it is
// another one: made at another time, or not as far as what was seen.
func (b *bucket) guard(ctx context.Context, was *jetstream.StreamInfo, seen *atomic.Uint64) (anew <-chan struct{}) {
	found := make(chan struct{})
	go func() {
		for wait(ctx, feedCheck) {
			known := seen.Load() // before the answer: writes go on meanwhile
			info, err := b.info(ctx)
			if err == nil && isAnother(info, was.Created, known) {
				close(found)
				return
			}
		}
	}()
	return found
}

// scan calls visit for everything that is in the bucket now; what comes meanwhile
// may be visited too. It begins anew where it was when it is interrupted.
func (b *bucket) scan(ctx context.Context, visit func(jetstream.KeyValueEntry)) error {
	from := uint64(0)
	for n := 1; ctx.Err() == nil; n++ {
		all := false
		upToNow, cancel := context.WithCancel(ctx)
		next, err := b.follow(upToNow, from, func(e jetstream.KeyValueEntry) {
			if e == nil {
				all = true
				cancel()
			} else if !all {
				visit(e)
			}
		})
		cancel()
		if all {
			return nil
		}
		from = next
		if err != nil && n == scanAttempts {
			return err
		}
		wait(ctx, backoff(n))
	}
	return ctx.Err()
}

const scanAttempts = 5

// keys returns the keys that match a filter.
func (b *bucket) keys(ctx context.Context, filter string) ([]string, error) {
	w, err := b.kv.Watch(ctx, filter, jetstream.MetaOnly(), jetstream.IgnoreDeletes())
	if err != nil {
		return nil, b.fault("list", filter, err)
	}
	defer func() { _ = w.Stop() }()
	var keys []string
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e, open := <-w.Updates():
			if !open {
				return nil, hub.Errorf(hub.ServiceUnavailable, "listing the keys of bucket %s was interrupted", b.name)
			}
			if e == nil {
				return keys, nil
			}
			keys = append(keys, e.Key())
		}
	}
}

package backend

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// lastRevision is the revision of the bucket's latest write.
func (b *bucket) lastRevision(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, "KV_"+b.name)
	if err != nil {
		return 0, b.fault("look up", "the latest revision", err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

// follow calls visit for what is written from revision from on, and for the
// marker, a nil entry, that separates what was there from what comes. It
// returns the first revision that was not visited, without error when ctx has
// ended or when the connection to NATS was lost and is back: a server that
// starts again knows nothing of the watch, and the watch itself would notice
// that by its heartbeats only, some twenty seconds later.
func (b *bucket) follow(ctx context.Context, from uint64, visit func(jetstream.KeyValueEntry)) (next uint64, err error) {
	back := b.js.Conn().StatusChanged(nats.CONNECTED)
	defer b.js.Conn().RemoveStatusListener(back)
	w, err := b.kv.WatchAll(ctx, jetstream.ResumeFromRevision(from))
	if err != nil {
		return from, b.fault("watch", "all keys", err)
	}
	defer func() {
		_ = w.Stop()
		go func() {
			for range w.Updates() { // so that nobody waits to give us one more
			}
		}()
	}()
	for {
		select {
		case <-ctx.Done():
			return from, nil
		case <-back:
			return from, nil
		case e, open := <-w.Updates():
			if !open {
				return from, hub.Errorf(hub.ServiceUnavailable, "watching bucket %s has ended", b.name)
			}
			if e != nil {
				from = e.Revision() + 1
			}
			visit(e)
		}
	}
}

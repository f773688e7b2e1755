package backend

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
)

// Lease is what one node of a hub has at a time: a key that it writes again and
// again. Another node takes it by compare-and-set, when it has seen by its own
// clock that nobody has written the key for a while; clocks are never compared.
//
// A node that stood still may believe that it has a lease which another one has
// taken meanwhile. Whoever acts on a lease must do what is right also then.
type Lease struct {
	bucket *bucket
	key    string
	node   string
	log    zerolog.Logger
	beat   time.Duration // between two writes
	term   time.Duration // after which a lease that is not written is over

	until atomic.Int64 // of this node, on its monotonic clock since start; 0: it has none
	start time.Time
}

const (
	leaseBeat = 3 * time.Second
	leaseTerm = 12 * time.Second
)

func newLease(b *bucket, key, node string, log zerolog.Logger) *Lease {
	return &Lease{bucket: b, key: key, node: node, log: log, beat: leaseBeat, term: leaseTerm, start: time.Now()}
}

// Held reports whether this node has the lease.
func (l *Lease) Held() bool { return int64(time.Since(l.start)) < l.until.Load() }

// Run seeks the lease until ctx ends, and gives it back then. It calls got each
// time that this node gets it, also when it had lapsed and nobody has taken it.
func (l *Lease) Run(ctx context.Context, got func()) {
	var seen uint64     // revision of the key
	var since time.Time // when it was seen for the first time
	for ; ctx.Err() == nil; wait(ctx, l.beat/3) {
		now, err := l.revision(ctx)
		switch {
		case err != nil:
			l.log.Debug().Err(err).Str("lease", l.key).Msg("a lease can't be looked at")
		case now != 0 && now != seen:
			seen, since = now, time.Now()
		case now == 0 || time.Since(since) > l.term: // nobody has it, or he does not write it
			if revision, err := l.write(ctx, now); err == nil {
				l.keep(ctx, revision, got)
			}
		}
	}
}

// revision is that of the key, 0 when there is none.
func (l *Lease) revision(ctx context.Context) (uint64, error) {
	e, err := l.bucket.get(ctx, l.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return e.Revision(), nil
}

// write writes the key in place of a revision. The lease counts from before.
func (l *Lease) write(ctx context.Context, revision uint64) (uint64, error) {
	from := time.Since(l.start)
	value, err := json.Marshal(struct {
		Node string    `json:"node"`
		Time time.Time `json:"time"`
	}{l.node, time.Now().UTC()})
	if err != nil {
		return 0, hub.Errorf(hub.ServerError, "write a lease as JSON: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, l.beat)
	defer cancel()
	revision, err = l.bucket.put(ctx, l.key, value, revision)
	if err != nil {
		return 0, err
	}
	// Others wait for the whole term, from when they see the write.
	l.until.Store(int64(from + l.term - l.beat))
	return revision, nil
}

// keep writes the lease again and again, until somebody else has it or ctx ends.
func (l *Lease) keep(ctx context.Context, revision uint64, got func()) {
	l.log.Info().Str("lease", l.key).Msg("this node has the lease")
	got()
	for {
		wait(ctx, l.beat)
		if ctx.Err() != nil {
			l.until.Store(0)
			// The next node need not wait for the end of the term.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = l.bucket.remove(last, l.key, revision)
			return
		}
		end := l.until.Load()
		next, err := l.write(ctx, revision)
		switch {
		case err == nil:
			revision = next
			if int64(time.Since(l.start)) >= end { // for a while this node had it not
				got()
			}
		case errors.Is(err, errStale):
			// Somebody has taken it, or the answer to an earlier write was lost.
			l.until.Store(0)
			l.log.Info().Str("lease", l.key).Msg("this node no longer has the lease")
			return
		case !l.Held():
			l.log.Warn().Err(err).Str("lease", l.key).Msg("this node could not keep the lease")
			return
		}
	}
}

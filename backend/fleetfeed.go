package backend

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
)

const (
	// feedCheck is how often a feed looks whether its bucket is still the one
	// that it knows.
	feedCheck = 5 * time.Second
	// feedPause is how long writes may gather before they are told, when nobody
	// waits for them. What comes first after a pause is told at once.
	feedPause = 20 * time.Millisecond
	// feedAbsence is after how long without the bucket everything is read again:
	// the markers of deleted keys may be gone.
	feedAbsence = markerAge / 2
)

// feed tells of everything in a bucket, and then of what is written there. A
// bucket that was put back from a backup, or made anew, it tells from the
// beginning. The watch of [bucket.follow] has no headers, which twins need.
type feed struct {
	js     jetstream.JetStream
	bucket *bucket // of those who write, for what they have written
	log    zerolog.Logger
	// begin is called before everything is told again, visit for each message in
	// its turn, and end when everything that was there has been told.
	begin func()
	visit func(written)
	end   func()

	next    uint64    // revision that comes next; 0: all are to be told
	created time.Time // when the bucket was
	seen    time.Time // when it was last heard of
	now     func() time.Time

	mu      sync.Mutex
	applied uint64 // revision up to which everything was visited
	ready   bool   // everything that was there was
	heard   bool   // something was visited since everything was to be told
	moved   chan struct{}
	wanted  int           // of those that wait in reach
	hurry   chan struct{} // somebody has begun to wait; has room for one
}

func newFeed(js jetstream.JetStream, b *bucket, log zerolog.Logger) *feed {
	return &feed{js: js, bucket: b, log: log, now: time.Now, hurry: make(chan struct{}, 1)}
}

// written is a message of a bucket's stream.
type written struct {
	key      string
	revision uint64
	header   nats.Header
	value    []byte
	gone     bool // it marks a deleted key
}

// run follows the bucket until ctx ends. It begins again whenever the connection to
// NATS was lost and is back: a server that starts again knows nothing of the
// consumer, and what was asked meanwhile may be lost.
func (f *feed) run(ctx context.Context) {
	for n := 1; ctx.Err() == nil; n++ {
		watch, end := f.untilBack(ctx)
		err := f.follow(watch, end)
		if watch.Err() != nil {
			err = ended(watch)
		}
		if err == nil {
			n = 0
		} else {
			f.log.Warn().Err(err).Str("bucket", f.bucket.name).Msg("following a bucket is interrupted")
			wait(watch, backoff(n))
		}
		end(nil)
	}
}

// untilBack is ctx until it is ended, or the connection to NATS is back after an
// interruption.
func (f *feed) untilBack(ctx context.Context) (watch context.Context, end context.CancelCauseFunc) {
	back := f.js.Conn().StatusChanged(nats.CONNECTED)
	watch, end = context.WithCancelCause(ctx)
	go func() {
		defer f.js.Conn().RemoveStatusListener(back)
		select {
		case <-back:
			end(nil)
		case <-watch.Done():
		}
	}()
	return watch, end
}

// errAnew says that the bucket is another one than before.
var errAnew = errors.New("the bucket has gone back to an earlier revision, or is empty")

// follow tells what is next until ctx ends, or something is wrong.
func (f *feed) follow(ctx context.Context, end context.CancelCauseFunc) error {
	before := f.bucket.written.Load()
	last, err := f.look(ctx)
	if err != nil && !errors.Is(err, errAnew) {
		return err
	}
	if f.next == 0 || errors.Is(err, errAnew) || f.now().Sub(f.seen) > feedAbsence {
		f.restart(before, last)
	}
	consumer, err := f.consumer(ctx)
	if err != nil {
		return err
	}
	p, err := newPull(f.js, consumer.CachedInfo())
	if err != nil {
		return f.bucket.fault("follow", "all keys", err)
	}
	defer p.stop()
	f.seen = f.now()
	r := reading{feed: f, last: last}
	if consumer.CachedInfo().NumPending == 0 {
		if err := r.caughtUp(ctx); err != nil {
			return err
		}
	}
	guarding, stop := context.WithCancel(ctx)
	var guards sync.WaitGroup
	guards.Go(func() { f.guard(guarding, end, consumer) })
	err = r.read(ctx, p)
	stop()
	guards.Wait()
	return err
}

// look reads how far the bucket is, and whether it is the one that is known.
func (f *feed) look(ctx context.Context) (last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	known := f.position() // before the answer: writes go on meanwhile
	s, err := f.js.Stream(ctx, "KV_"+f.bucket.name)
	if err != nil {
		return 0, f.bucket.fault("look up", "the latest revision", err)
	}
	info := s.CachedInfo()
	if f.another(info, known) {
		err = errAnew
	}
	f.created = info.Created
	return info.State.LastSeq, err
}

// another reports whether a bucket is not the one that was visited up to a revision:
// put back from a backup, made anew, or emptied so that no markers say what is gone.
func (f *feed) another(info *jetstream.StreamInfo, known uint64) bool {
	f.mu.Lock()
	heard := f.heard
	f.mu.Unlock()
	return isAnother(info, f.created, known) || info.State.Msgs == 0 && heard
}

// isAnother reports whether a bucket was not made at that time, if it is known, or has not come
// as far as a revision that was seen.
func isAnother(info *jetstream.StreamInfo, created time.Time, known uint64) bool {
	return info.State.LastSeq < known || !created.IsZero() && !info.Created.Equal(created)
}

// restart has everything told again. before is what this process had written when it
// was asked how far the bucket is.
func (f *feed) restart(before, last uint64) {
	f.mu.Lock()
	f.next, f.applied, f.ready, f.heard = 0, 0, false, false
	f.mu.Unlock()
	if before > last { // it was written to another bucket
		f.bucket.written.CompareAndSwap(before, last)
	}
	f.begin()
}

func (f *feed) consumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, assetTimeout)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubject: f.bucket.subject(">"),
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	}
	if f.next > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f.next
	}
	c, err := f.js.CreateConsumer(ctx, "KV_"+f.bucket.name, cfg)
	return c, f.bucket.fault("follow", "all keys", err)
}

// guard ends the watch when the bucket is no longer the one that it was.
func (f *feed) guard(ctx context.Context, end context.CancelCauseFunc, consumer jetstream.Consumer) {
	tick := time.NewTicker(feedCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := f.check(ctx, consumer); err != nil {
				end(err)
				return
			}
		}
	}
}

// check looks after the bucket, and after a reading that waits for a message
// which was the last one and is gone.
func (f *feed) check(ctx context.Context, consumer jetstream.Consumer) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	known := f.position() // before the answer: writes go on meanwhile
	s, err := f.js.Stream(ctx, "KV_"+f.bucket.name)
	if err != nil {
		return nil //nolint:nilerr // NATS is away: the reading finds out
	}
	if f.another(s.CachedInfo(), known) {
		return errAnew
	}
	f.mu.Lock()
	applied, ready := f.applied, f.ready
	f.mu.Unlock()
	if ready {
		return nil
	}
	info, err := consumer.Info(ctx)
	if err == nil && info.NumPending == 0 && info.Delivered.Stream <= applied && applied == f.position() {
		return errors.New("what was to come last is gone")
	}
	return nil
}

// position is the last revision that was visited.
func (f *feed) position() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(f.next, 1) - 1
}

// advance says that everything up to a revision was visited.
func (f *feed) advance(revision uint64, next uint64, ready bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied, f.next, f.ready = max(f.applied, revision), next, f.ready || ready
	if f.moved != nil {
		close(f.moved)
		f.moved = nil
	}
}

// hears says that something was visited.
func (f *feed) hears() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = true
}

// pause lets writes gather, unless somebody waits for one.
func (f *feed) pause(ctx context.Context) {
	f.mu.Lock()
	wanted := f.wanted > 0
	f.mu.Unlock()
	if wanted {
		return
	}
	over := time.NewTimer(feedPause)
	defer over.Stop()
	select {
	case <-ctx.Done():
	case <-f.hurry:
	case <-over.C:
	}
}

// want says that somebody waits for writes, until the returned function is called.
func (f *feed) want() (leave func()) {
	f.mu.Lock()
	f.wanted++
	f.mu.Unlock()
	select {
	case f.hurry <- struct{}{}:
	default:
	}
	return func() {
		f.mu.Lock()
		f.wanted--
		f.mu.Unlock()
	}
}

// reach waits until everything that was there was visited, and what this
// process has written until now.
func (f *feed) reach(ctx context.Context) error {
	want := f.bucket.written.Load()
	if reached, _, _ := f.reached(want); reached {
		return nil
	}
	defer f.want()()
	for {
		reached, ready, moved := f.reached(want)
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			if !ready {
				return hub.Errorf(hub.ServiceUnavailable, "this node is still reading bucket %s; try again in a moment", f.bucket.name)
			}
			return hub.Errorf(hub.ServiceUnavailable, "this node has not heard yet of the last write to bucket %s; try again in a moment", f.bucket.name)
		}
		want = min(want, max(f.bucket.written.Load(), 1)) // it may have begun anew
	}
}

// reached reports whether everything up to a revision was visited, whether all
// that was there was, and what is closed when there is more.
func (f *feed) reached(want uint64) (reached, ready bool, moved <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.moved == nil {
		f.moved = make(chan struct{})
	}
	return f.ready && f.applied >= want, f.ready, f.moved
}

// isReady reports whether everything that was there was visited.
func (f *feed) isReady() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

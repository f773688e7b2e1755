package backend

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/query"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// Fleet is all devices and modules of the hub with their twins, sessions and
// queues, as one view of each; and an index of these views in the memory of
// this node, which queries ask. The index follows the buckets from the start of
// the node on. A query sees everything that this node has written before it;
// what other nodes write, some 20 milliseconds later. How many messages wait for a
// device may be a second old in it.
//
// It is safe for concurrent use.
type Fleet struct {
	catalog *catalog
	feeds   [feedCount]*feed
	queues  *queueCounts
	jobs    *query.Collection    // rows of jobs
	jobFeed atomic.Pointer[feed] // of jobs; nil: nobody follows them
	watches changes

	store    *DeviceStore
	twins    *TwinStore
	sessions *SessionStore
	nc       *nats.Conn // of the feeds: what they read must not delay devices
	log      zerolog.Logger
	began    time.Time
	missing  atomic.Int32 // feeds that have not told yet all that was there
	twinText []byte       // of the feed of twins: the part that is taken

	twinTold  atomic.Pointer[func(hub.Identity, uint64)]
	claimTold atomic.Pointer[func(session.Claim)]
}

// freshness is how long a query waits for the index.
const freshness = 2 * time.Second

// openFleet begins to follow the buckets; nobody waits for that.
func (b *Backbone) openFleet(ctx context.Context, d *dialer) error {
	queue, err := openStream(ctx, b.js, b.names.C2DStream())
	if err != nil {
		return err
	}
	nc, err := d.dial("fleet", forEver(b.cfg.Log)...)
	if err != nil {
		return err
	}
	js, err := openJetStream(nc, b.cfg.Domain)
	if err != nil {
		nc.Close()
		return err
	}
	f := &Fleet{
		catalog: newCatalog(), jobs: newJobRows(), store: b.devices, twins: b.twins, sessions: b.sessions,
		queues: &queueCounts{
			queue: queue, first: readerOf(b.js, queue), js: js, names: b.names, log: b.cfg.Log, age: countAge,
		},
		nc: nc, log: b.cfg.Log, began: time.Now(),
	}
	f.catalog.changed = f.watches.add
	f.queues.told = f.catalog.queued
	for i, bucket := range []*bucket{b.devices.bucket, b.twins.bucket, b.sessions.bucket} {
		f.feeds[i] = newFeed(js, bucket, b.cfg.Log)
	}
	f.missing.Store(feedCount)
	f.follow()
	b.fleet = f
	background, stop := context.WithCancel(context.Background())
	earlier := b.stop
	b.stop = func() {
		stop()
		earlier()
	}
	b.wg.Go(func() { f.run(background) })
	return nil
}

// Fleet is the devices and modules of the hub as queries see them.
func (b *Backbone) Fleet() *Fleet { return b.fleet }

// current waits until the index has all that this process has written; with
// counts, it has the queues counted too.
func (f *Fleet) current(ctx context.Context, counts counting) error {
	ctx, cancel := context.WithTimeout(ctx, freshness)
	defer cancel()
	for _, feed := range f.feeds {
		if err := feed.reach(ctx); err != nil {
			return err
		}
	}
	if counts == counted {
		f.queues.refresh(ctx)
	}
	return nil
}

// counting says whether somebody wants to know how many messages wait.
type counting bool

const (
	counted   counting = true
	uncounted counting = false
)

// run follows the buckets until ctx ends: the identities first, for the rest is
// of somebody.
func (f *Fleet) run(ctx context.Context) {
	defer f.nc.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { f.feeds[deviceFeed].run(ctx) })
	if f.feeds[deviceFeed].reach(ctx) != nil {
		return
	}
	wg.Go(func() { f.feeds[twinFeed].run(ctx) })
	wg.Go(func() { f.feeds[presenceFeed].run(ctx) })
}

// follow says what to do with what the feeds tell.
func (f *Fleet) follow() {
	visits := [feedCount]func(written, uint8){f.visitRecord, f.visitTwin, f.visitSession}
	for i, visit := range visits {
		feed, reading, loaded := f.feeds[i], uint8(0), sync.OnceFunc(f.feedLoaded)
		feed.begin = func() { reading++ }
		feed.visit = func(w written) { visit(w, reading) }
		feed.end = func() {
			f.catalog.sweep(i, reading)
			loaded()
		}
	}
}

// feedLoaded logs, when the last feed has told all, how long that has taken.
func (f *Fleet) feedLoaded() {
	if f.missing.Add(-1) == 0 {
		f.log.Info().Int64("devices", f.catalog.all.Load()).Dur("after", time.Since(f.began)).Msg("queries are answered")
	}
}

func (f *Fleet) visitRecord(w written, reading uint8) {
	id, err := subject.ParseKey(w.key)
	if err != nil {
		return // not the hub's
	}
	if w.gone {
		f.catalog.recordGone(id)
		return
	}
	r, err := parseRecord(id, w.value)
	if err == nil {
		err = f.catalog.record(r, reading)
	}
	if err != nil {
		f.catalog.recordGone(id)
		f.leftOut(id, err)
	}
}

func (f *Fleet) visitTwin(w written, reading uint8) {
	id, err := subject.ParseKey(w.key)
	if err != nil {
		return
	}
	if w.gone {
		f.catalog.twinGone(id)
		return
	}
	if told := f.twinTold.Load(); told != nil {
		(*told)(id, w.revision)
	}
	generation, text := w.header.Get(subject.GenerationHeader), w.value
	if generation == "" { // written by hand: the hub would read and print it anew
		t, err := twin.Parse(text)
		if err != nil {
			f.catalog.twinGone(id)
			f.leftOut(id, err)
			return
		}
		text = t.AppendJSON(nil)
	}
	f.twinText = appendPart(f.twinText[:0], text, twinPart)
	if err := f.catalog.twin(id, f.twinText, f.catalog.generation(generation), reading); err != nil {
		f.leftOut(id, err)
	}
}

func (f *Fleet) visitSession(w written, reading uint8) {
	id, err := subject.ParseKey(w.key)
	if err != nil {
		return
	}
	s, ok := session.Session{}, false
	if !w.gone {
		s, ok = parseSession(id, w.value)
	}
	// Only the goroutine of the feed, which is this one, says when it is ready.
	f.sessions.nodes.notice(id, s, f.feeds[presenceFeed].ready)
	if !ok {
		f.catalog.sessionGone(id)
		return
	}
	if told := f.claimTold.Load(); told != nil {
		(*told)(session.Claim{ID: id, Epoch: cmp.Or(s.Epoch, w.revision), Node: s.Node, Connection: s.Connection})
	}
	f.catalog.session(s, reading)
}

func (f *Fleet) leftOut(id hub.Identity, err error) {
	f.log.Warn().Err(err).Str("device_id", id.Device).Str("module_id", id.Module).Msg("a damaged document is left out of queries")
}

// OnTwin has told called for every twin that this node reads, those that are
// there and then those that are written. That comes through whatever happens,
// where an announcement can be lost without a sign: between NATS servers that
// have lost each other. It must not wait.
func (f *Fleet) OnTwin(told func(id hub.Identity, revision uint64)) { f.twinTold.Store(&told) }

// OnClaim is OnTwin for sessions: who owns them.
func (f *Fleet) OnClaim(told func(session.Claim)) { f.claimTold.Store(&told) }

package backend

import (
	"hash/maphash"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/query"
	"github.com/hubgate/hubgate/twin"
)

// catalog keeps the documents of all identities: each is made of what the buckets
// hold under its key. The buckets are followed apart, so that a twin may be
// heard of before its identity, or after that was deleted and created again;
// what is told at any time is what [TwinStore.Get] would have read.
//
// Everything about one identity is done under the lock of its shard, so that
// the parts of its document never come from a state that has gone.
type catalog struct {
	devices, modules *query.Collection
	shards           [catalogShards]shard
	seed             maphash.Seed

	all, enabled, disabled, connected atomic.Int64 // devices

	// changed hears of each document that is another one now. It must neither
	// wait nor ask the catalog.
	changed func(id hub.Identity)
}

const catalogShards = 64

type shard struct {
	mu      sync.Mutex
	entries map[string]entry
	// strays are twins and sessions of another generation than the record. They
	// are of an identity that is gone, or of one whose record comes in a moment.
	strays map[string]stray
	// targeted has the configurations of those that are targeted.
	targeted map[string][]twin.ConfigurationStatus
	messages map[string]int // that wait, of devices that have some
}

// entry is what is known of an identity besides its document.
type entry struct {
	record, twin, session generation
	since                 int64 // stamp of the session's last change
	connected, disabled   bool
	seen                  [feedCount]uint8 // the reading of each bucket that has told of it
}

// stray is parts that do not belong to the document now.
type stray struct {
	twin, session     []byte
	ofTwin, ofSession generation
	since             int64
	connected         bool
	seen              [feedCount]uint8 // the reading of each bucket that has told of the part
}

// generation is a generation id in eight bytes, for there may be millions:
// those that the hub makes are numbers, and of others it is a hash.
type generation uint64

const (
	noGeneration  generation = 0 // there is nothing that could have one
	anyGeneration generation = 1 // written by hand: it belongs to anybody
	hashed        generation = 1 << 63
)

func (x *catalog) generation(id string) generation {
	if id == "" {
		return anyGeneration
	}
	if n, err := strconv.ParseUint(id, 10, 63); err == nil && n > 1 && id[0] != '0' && id[0] != '+' {
		return generation(n)
	}
	return generation(maphash.String(x.seed, id)) | hashed
}

// fits reports whether something of generation g belongs to the record.
func (g generation) fits(record generation) bool {
	return record == noGeneration || g == anyGeneration || g == record
}

func newCatalog() *catalog {
	x := &catalog{seed: maphash.MakeSeed(), changed: func(hub.Identity) {}}
	x.devices, x.modules = collections()
	for i := range x.shards {
		x.shards[i] = shard{
			entries: map[string]entry{}, strays: map[string]stray{},
			targeted: map[string][]twin.ConfigurationStatus{}, messages: map[string]int{},
		}
	}
	return x
}

// at returns the shard of a key.
func (x *catalog) at(key string) *shard {
	return &x.shards[maphash.String(x.seed, key)%catalogShards]
}

// of returns the collection that has the document of an identity.
func (x *catalog) of(id hub.Identity) *query.Collection {
	if id.IsModule() {
		return x.modules
	}
	return x.devices
}

// record takes the record of an identity, whose generation may be another one
// than before.
func (x *catalog) record(r identity.Record, reading uint8) error {
	key, own := r.ID.String(), x.generation(r.GenerationID)
	text := viewOf(r, newTwin(r)).AppendJSON(nil)
	s := x.at(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if err := x.of(r.ID).Set(key, registryPart, part(text, registryPart)); err != nil {
		return err
	}
	before := e
	e.record, e.disabled = own, r.Status == identity.StatusDisabled
	e.seen[deviceFeed] = reading
	if before.record != own {
		x.adopt(s, r.ID, &e, part(text, twinPart))
	}
	x.store(s, r.ID, before, e)
	if before.record == noGeneration { // messages may have waited for it
		x.setVolatile(s, r.ID)
	}
	x.finish(s, r.ID)
	return nil
}

// adopt gives the document of a new generation what belongs to it, and puts
// aside what belongs to another one.
func (x *catalog) adopt(s *shard, id hub.Identity, e *entry, fresh []byte) {
	key, docs := id.String(), x.of(id)
	st := s.strays[key]
	if e.twin != noGeneration && !e.twin.fits(e.record) {
		text, _ := docs.Get(key)
		st.twin, st.ofTwin, e.twin = part(text, twinPart), e.twin, noGeneration
		st.seen[twinFeed] = e.seen[twinFeed]
	}
	if st.twin != nil && st.ofTwin.fits(e.record) {
		_ = docs.Set(key, twinPart, st.twin) // it was there before, or is checked at the next write
		e.twin, st.twin = st.ofTwin, nil
		e.seen[twinFeed] = st.seen[twinFeed] // the entry may be younger than what has strayed
	} else if e.twin == noGeneration {
		_ = docs.Set(key, twinPart, fresh)
	}
	if e.session != noGeneration && !e.session.fits(e.record) {
		text, _ := docs.Get(key)
		st.session, st.ofSession, st.since, st.connected = part(text, presencePart), e.session, e.since, e.connected
		st.seen[presenceFeed] = e.seen[presenceFeed]
		x.noSession(id, e)
	}
	if st.session != nil && st.ofSession.fits(e.record) {
		_ = docs.Set(key, presencePart, st.session)
		e.session, e.since, e.connected, st.session = st.ofSession, st.since, st.connected, nil
		e.seen[presenceFeed] = st.seen[presenceFeed]
	}
	s.keep(key, st)
}

// keep stores what has strayed, if there is something.
func (s *shard) keep(key string, st stray) {
	if st.twin == nil && st.session == nil {
		delete(s.strays, key)
		return
	}
	s.strays[key] = st
}

// recordGone takes that there is no such identity any more. What else the
// buckets have of it waits, unseen, for its own deletion.
func (x *catalog) recordGone(id hub.Identity) {
	key := id.String()
	s := x.at(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, known := s.entries[key]
	if !known {
		return
	}
	before := e
	e.record, e.disabled = noGeneration, false
	x.of(id).Drop(key, registryPart)
	x.target(s, id, nil)
	x.store(s, id, before, e)
	if before.record != noGeneration {
		x.changed(id)
	}
}

// store keeps an entry, and counts devices. An entry that says nothing is
// forgotten with its document.
func (x *catalog) store(s *shard, id hub.Identity, before, now entry) {
	key := id.String()
	if !id.IsModule() {
		x.count(before, -1)
		x.count(now, 1)
	}
	if now.record != noGeneration || now.twin != noGeneration || now.session != noGeneration {
		s.entries[key] = now
		return
	}
	delete(s.entries, key)
	delete(s.targeted, key)
	x.of(id).Delete(key)
}

// count adds n devices of this kind.
func (x *catalog) count(e entry, n int64) {
	if e.record == noGeneration {
		return
	}
	x.all.Add(n)
	if e.disabled {
		x.disabled.Add(n)
	} else {
		x.enabled.Add(n)
	}
	if e.connected {
		x.connected.Add(n)
	}
}

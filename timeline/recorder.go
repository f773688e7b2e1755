package timeline

import (
	"maps"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Store keeps entries.
type Store interface {
	// Append stores an entry. It does not wait and may lose it: a timeline is
	// not worth a message.
	Append(e Entry)
}

const (
	// maxStreaks bounds what a recorder remembers, and so how many different
	// things it lets through in a second; what comes above that is counted only.
	maxStreaks = 32 << 10
	// maxStrangers is how many of them may be about addresses, so that those
	// can't crowd out the devices.
	maxStrangers = maxStreaks / 32

	firstWindow = time.Second
	lastWindow  = 10 * time.Minute

	// maxSentences is how many different sentences of one kind are stored at
	// once; peers can make up as many as they like.
	maxSentences = 8
)

// Recorder takes entries from everywhere in a node. The first of a kind is
// stored at once, and so is what says something else. Repetitions are counted, and stored as one entry after a
// second, then after two, and so on up to ten minutes while they go on: a fight
// of two devices for one id, with hundreds of entries a second, costs some
// twenty stored ones an hour. It is safe for concurrent use.
type Recorder struct {
	store Store
	node  string

	mu        sync.Mutex
	streaks   map[streakKey]*streak
	strangers int
	counts    map[hub.Code]uint64
	dropped   uint64

	quit chan struct{}
	done chan struct{}
	once sync.Once
}

// streakKey says what counts as the same thing.
type streakKey struct {
	id      hub.Identity
	address string // of a stranger, and who it says it is; else empty
	claimed string
	what    What
	code    hub.Code
}

func keyOf(e Entry) streakKey {
	k := streakKey{id: e.ID, what: e.What, code: e.Code}
	if k.stranger() {
		k.address, k.claimed = AddressOf(e.Remote), e.Claimed
	}
	return k
}

func (k streakKey) stranger() bool { return k.id.Device == "" }

// streak is a thing that has gone wrong a short while ago.
type streak struct {
	pending   Entry         // what is not stored yet; Count 0: nothing
	window    time.Duration // between the last look at it and due
	due       time.Time
	message   string // the last one that was stored at once
	sentences int    // how many others may still be
}

// NewRecorder starts a recorder of the node with this name. Close ends it.
func NewRecorder(store Store, node string) *Recorder {
	r := &Recorder{
		store: store, node: node,
		streaks: map[streakKey]*streak{}, counts: map[hub.Code]uint64{},
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	go r.run()
	return r
}

// Record takes an entry of which Time and Node may be missing. It does not
// block. The refusal of a client is an entry of its address too. It reports
// whether this is the first of its kind for a while, which is when a log may
// have a line about it. A nil Recorder keeps nothing and takes everything for
// the first.
func (r *Recorder) Record(e Entry) (first bool) {
	if r == nil {
		return true
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Node, e.Count = r.node, 1
	r.mu.Lock()
	r.counts[e.Code]++
	r.mu.Unlock()
	first = r.take(e)
	if e.What == Refused && e.ID.Device != "" {
		e.ID, e.Claimed = hub.Identity{}, e.ID.String()
		r.take(e)
	}
	return first
}

// take stores an entry, or counts it as a repetition.
func (r *Recorder) take(e Entry) (first bool) {
	now := r.enter(e)
	r.append(now)
	return len(now) > 0
}

// enter returns what is to be stored now: nothing, if e is counted as a
// repetition.
func (r *Recorder) enter(e Entry) []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := keyOf(e)
	if s, known := r.streaks[k]; known {
		return s.add(e)
	}
	if len(r.streaks) >= maxStreaks || k.stranger() && r.strangers >= maxStrangers {
		r.dropped++
		return nil
	}
	r.streaks[k] = &streak{window: firstWindow, due: e.Time.Add(firstWindow), message: e.Message, sentences: maxSentences}
	if k.stranger() {
		r.strangers++
	}
	return []Entry{e}
}

// add takes one more entry and returns what is to be stored now: what has been
// counted so far and e, if e has something else to say.
func (s *streak) add(e Entry) []Entry {
	if e.Message == s.message || s.sentences == 0 {
		s.count(e)
		return nil
	}
	s.sentences--
	s.message = e.Message
	now := []Entry{e}
	if s.pending.Count > 0 {
		now = []Entry{s.pending, e}
	}
	s.pending = Entry{}
	return now
}

// count counts a repetition: the newest one is what people will want to read.
func (s *streak) count(e Entry) {
	if s.pending.Count > 0 {
		e.Until, e.Time, e.Count = e.Time, s.pending.Time, s.pending.Count+1
	}
	s.pending = e
}

// run stores the repetitions that are due, once a second.
func (r *Recorder) run() {
	defer close(r.done)
	tick := time.NewTicker(firstWindow)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			r.append(r.due(now))
		case <-r.quit:
			r.append(r.due(time.Time{}))
			return
		}
	}
}

func (r *Recorder) append(entries []Entry) {
	for _, e := range entries {
		r.store.Append(e)
	}
}

// due takes out what is to be stored at now; the zero time is after all others.
// A thing that has not happened again within its window is forgotten.
func (r *Recorder) due(now time.Time) []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Entry
	for k, s := range r.streaks {
		if !now.IsZero() && now.Before(s.due) {
			continue
		}
		if s.pending.Count == 0 {
			r.forget(k)
			continue
		}
		out = append(out, s.pending)
		s.pending = Entry{}
		s.window = min(2*s.window, lastWindow)
		s.due = now.Add(s.window)
	}
	return out
}

func (r *Recorder) forget(k streakKey) {
	delete(r.streaks, k)
	if k.stranger() {
		r.strangers--
	}
}

// Counts is how often each code came up on this node since it was started, and
// how many entries of them were not stored because there were too many.
func (r *Recorder) Counts() (byCode map[hub.Code]uint64, dropped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts), r.dropped
}

// Close stores what is pending. Entries that are recorded later are lost.
func (r *Recorder) Close() {
	r.once.Do(func() { close(r.quit) })
	<-r.done
}

package jobs

import (
	"cmp"
	"context"
	"sort"
	"sync"
	"time"
)

// known is a job as this node has seen it last, without what may be large.
type known struct {
	Job

	// seen is when this revision came: who runs the job writes it again and again.
	// No clock of another node is compared with this one's.
	seen time.Time
}

// index is all jobs of the hub, as the watch of the store tells them. It is safe
// for concurrent use.
type index struct {
	now func() time.Time

	mu     sync.Mutex
	jobs   map[string]known
	told   map[string]bool // while everything is told; nil: it has been
	loaded chan struct{}
	wake   chan struct{} // has room for one
}

var _ Watcher = (*index)(nil)

func newIndex(now func() time.Time) *index {
	return &index{now: now, jobs: map[string]known{}, told: map[string]bool{}, loaded: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// Loading implements [Watcher].
func (x *index) Loading() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.told = map[string]bool{}
}

// Stored implements [Watcher]. What is older than what is known is passed over.
func (x *index) Stored(j Job) {
	x.mu.Lock()
	if x.told != nil {
		x.told[j.ID] = true
	}
	if k, ok := x.jobs[j.ID]; !ok || k.Revision < j.Revision {
		x.jobs[j.ID] = known{j.light(), x.now()}
	}
	x.mu.Unlock()
	x.stir()
}

// Removed implements [Watcher].
func (x *index) Removed(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.jobs, id)
}

// Loaded implements [Watcher]. Who runs a job had no chance to say so while NATS
// was away: he gets his time anew.
func (x *index) Loaded() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, k := range x.jobs {
		if x.told != nil && !x.told[id] {
			delete(x.jobs, id)
			continue
		}
		k.seen = x.now()
		x.jobs[id] = k
	}
	x.told = nil
	select {
	case <-x.loaded:
	default:
		close(x.loaded)
	}
}

// stir has the runner look at once.
func (x *index) stir() {
	select {
	case x.wake <- struct{}{}:
	default: // it will
	}
}

// await returns false when ctx ends before all jobs are known.
func (x *index) await(ctx context.Context) bool {
	select {
	case <-x.loaded:
		return true
	case <-ctx.Done():
		return false
	}
}

func (x *index) has(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.jobs[id]
	return ok
}

// collect returns the jobs that keep accepts, by compare.
func (x *index) collect(keep func(known) bool, compare func(a, b known) int) []known {
	x.mu.Lock()
	var all []known
	for _, k := range x.jobs {
		if keep(k) {
			all = append(all, k)
		}
	}
	x.mu.Unlock()
	sort.Slice(all, func(i, j int) bool { return compare(all[i], all[j]) < 0 }) // slices.SortFunc would be 16 KB of code
	return all
}

// count returns how many jobs are at work or could be, and how many have not
// ended.
func (x *index) count(now time.Time) (active, open int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, k := range x.jobs {
		if k.Settled {
			continue
		}
		open++
		if !k.Start.After(now) {
			active++
		}
	}
	return active, open
}

func byStart(a, b known) int {
	return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID))
}

func byCreation(a, b known) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}

func byEnd(a, b known) int {
	return cmp.Or(a.End.Compare(b.End), cmp.Compare(a.ID, b.ID))
}

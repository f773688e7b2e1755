package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/tidwall/btree"
)

// snapshot is the documents that a query has to look at, as they were when it
// began. Nobody waits for who reads it.
type snapshot struct {
	sparse []entry // in order; all that are to be looked at, when tree is nil
	tree   *btree.BTreeG[entry]
	ranges []keyRange
	bitmap *roaring.Bitmap // nil: all in the ranges
	plan   Plan
}

func everything() []keyRange { return []keyRange{{}} }

// patience is how many documents are looked at between two looks at the
// context.
const patience = 256

// scan visits the documents behind a key, in order, until visit returns false.
func (s *snapshot) scan(ctx context.Context, after string, visit func(entry) bool) error {
	w := walk{ctx: ctx, bitmap: s.bitmap, visit: visit}
	if after != "" {
		after += "\x00"
	}
	if s.tree == nil {
		at, _ := slices.BinarySearchFunc(s.sparse, after, func(e entry, key string) int { return strings.Compare(e.doc.key(), key) })
		for _, e := range s.sparse[at:] {
			if !w.step(e) {
				break
			}
		}
		return w.end()
	}
	for _, r := range s.ranges {
		r.from = max(r.from, after)
		if !r.empty() && !w.through(s.tree, r) {
			break
		}
	}
	return w.end()
}

// walk visits documents, a few at a time: they lie anywhere in memory, and the
// processor fetches several at once when it is not asked to understand each
// before the next.
type walk struct {
	ctx    context.Context //nolint:containedctx // as long as the call of scan
	bitmap *roaring.Bitmap
	visit  func(entry) bool

	ahead   [8]entry
	waiting int
	seen    int
	touched byte
	stopped bool
	err     error
}

// through takes the documents of a range; false ends the walk.
func (w *walk) through(tree *btree.BTreeG[entry], r keyRange) (more bool) {
	more = true
	tree.Ascend(entry{doc: pivot(r.from)}, func(e entry) bool {
		if r.to != "" && e.doc.key() >= r.to {
			return false
		}
		more = w.step(e)
		return more
	})
	return more
}

// step takes a document; false ends the walk.
func (w *walk) step(e entry) bool {
	if w.seen%patience == 0 {
		if w.err = w.ctx.Err(); w.err != nil {
			w.stopped = true
			return false
		}
	}
	w.seen++
	if w.bitmap != nil && !w.bitmap.Contains(e.n) {
		return true
	}
	w.ahead[w.waiting] = e
	w.waiting++
	if w.waiting == len(w.ahead) {
		w.flush()
	}
	return !w.stopped
}

// flush visits those that are waiting.
func (w *walk) flush() {
	const line = 64 // bytes that are fetched together
	for _, e := range w.ahead[:w.waiting] {
		for at := 0; at < len(e.doc) && at < 16*line; at += line {
			w.touched += e.doc[at]
		}
	}
	for _, e := range w.ahead[:w.waiting] {
		if w.stopped {
			break
		}
		if e.doc.visible() && !w.visit(e) {
			w.stopped = true
		}
	}
	w.waiting = 0
}

func (w *walk) end() error {
	if !w.stopped {
		w.flush()
	}
	return broken(w.err)
}

func broken(err error) error {
	if err != nil {
		return fmt.Errorf("look at documents: %w", err)
	}
	return nil
}

// maxBuilds is how many indexes one query may ask for.
const maxBuilds = 4

// access chooses how a condition is served, makes the indexes that it needs, and
// takes the snapshot.
func (c *Collection) access(ctx context.Context, where *node) (*snapshot, error) {
	for range maxBuilds {
		s, missing := c.snapshot(where)
		if missing == nil {
			return s, nil
		}
		if err := c.build(ctx, missing); err != nil {
			return nil, err
		}
	}
	s, _ := c.snapshot(where)
	return s, nil
}

// snapshot takes one. missing is the path of an index that would make it
// smaller.
func (c *Collection) snapshot(where *node) (s *snapshot, missing *path) {
	ranges, bounded := c.ranges(where)
	if !bounded {
		ranges = everything()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s = &snapshot{ranges: ranges, plan: Plan{Source: c.config.Source, Access: AccessScan, Total: c.visible, Documents: c.visible}}
	if bounded {
		c.planRanges(s)
	}
	if !bounded || s.plan.Documents > c.limits.unindexed {
		missing = c.planIndex(s, where)
	}
	if s.sparse == nil {
		s.tree = c.tree.IsoCopy()
	}
	return s, missing
}

// planRanges counts what is in the ranges, and takes it when it is little.
func (c *Collection) planRanges(s *snapshot) {
	s.plan.Access, s.plan.Detail = describe(s.ranges)
	few := []entry{}
	for _, r := range s.ranges {
		c.tree.Ascend(entry{doc: pivot(r.from)}, func(e entry) bool {
			if r.to != "" && e.doc.key() >= r.to {
				return false
			}
			few = append(few, e)
			return len(few) <= max(c.limits.unindexed, maxKeys)
		})
		if len(few) > max(c.limits.unindexed, maxKeys) {
			return // how many there are is not known
		}
	}
	s.sparse = few
	s.plan.Documents = len(few)
}

// planIndex takes what indexes select.
func (c *Collection) planIndex(s *snapshot, where *node) (missing *path) {
	if where == nil || c.visible <= c.limits.unindexed || s.plan.Access == AccessKey {
		return nil
	}
	search := indexSearch{c: c}
	s.bitmap, missing = search.find(where)
	if s.bitmap == nil {
		return missing
	}
	count := int(s.bitmap.GetCardinality())
	s.plan.Access, s.plan.Documents = AccessIndex, count
	s.plan.Detail = strings.Join(search.used, ", ")
	if count <= c.limits.sparse {
		s.sparse = c.collect(s)
		s.bitmap = nil
	}
	return missing
}

// collect takes the documents of a bitmap that are in the ranges.
func (c *Collection) collect(s *snapshot) []entry {
	few := make([]entry, 0, s.plan.Documents)
	for it := s.bitmap.Iterator(); it.HasNext(); {
		e := entry{n: it.Next()}
		e.doc = c.docs[e.n]
		key := e.doc.key()
		if slices.ContainsFunc(s.ranges, func(r keyRange) bool { return r.from <= key && (r.to == "" || key < r.to) }) {
			few = append(few, e)
		}
	}
	slices.SortFunc(few, func(a, b entry) int { return strings.Compare(a.doc.key(), b.doc.key()) })
	return few
}

// indexSearch makes a bitmap of a condition. The lock is held.
type indexSearch struct {
	c    *Collection
	used []string
}

// find is the documents that a condition can select; nil: that cannot be said.
// missing is the path of an index that would help.
func (x *indexSearch) find(n *node) (found *roaring.Bitmap, missing *path) {
	switch n.op {
	case opAnd:
		return x.all(n)
	case opOr:
		return x.any(n)
	default:
	}
	e, ok := x.c.equality(n)
	if !ok {
		return nil, nil
	}
	ix := x.c.indexes[e.name]
	switch {
	case ix == nil:
		return nil, e.path
	case ix.old != nil: // somebody builds it
		return nil, nil
	}
	x.c.use(ix)
	if !slices.Contains(x.used, e.name) {
		x.used = append(x.used, e.name)
	}
	return ix.find(e.values), nil
}

// all intersects what the operands that have an index select. Other indexes are
// not missed when few documents are left.
func (x *indexSearch) all(n *node) (found *roaring.Bitmap, missing *path) {
	for _, kid := range n.kids {
		if _, keyed := x.c.ranges(kid); keyed {
			continue // its ranges say it
		}
		b, m := x.find(kid)
		if missing == nil {
			missing = m
		}
		switch {
		case found == nil:
			found = b
		case b != nil:
			found.And(b)
		}
	}
	if found != nil && found.GetCardinality() <= uint64(x.c.limits.sparse) {
		missing = nil
	}
	return found, missing
}

// any joins what the operands select, if that can be said of all of them.
func (x *indexSearch) any(n *node) (found *roaring.Bitmap, missing *path) {
	found = roaring.New()
	for _, kid := range n.kids {
		b, m := x.find(kid)
		switch {
		case b == nil && m == nil:
			return nil, nil
		case b == nil:
			found, missing = nil, m
		case found != nil:
			found.Or(b)
		}
	}
	return found, missing
}

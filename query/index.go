package query

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// index knows the documents that have a value at a path: by the hash of the
// value, as whoever asks looks at the documents anyway. A value that one
// document has costs a place in the map and nothing else.
type index struct {
	path   string
	seed   maphash.Seed
	finder *finder
	view   *view

	posts map[uint64]uint32 // by hash: the document, or shared and the place in lists
	lists []posting
	empty []uint32 // places in lists
	used  uint64   // when it was used last, by the clock of the collection

	// While it is built, changes are kept: what a document was when the building
	// began. nil: it is complete.
	old map[uint32]document
}

// shared marks a place in lists.
const shared = 1 << 31

// maxFew is how many documents a value has before they become a bitmap.
const maxFew = 64

// posting is the documents that have the same value.
type posting struct {
	few  []uint32 // in order
	many *roaring.Bitmap
}

func (c *Collection) newIndex(p *path) *index {
	return &index{path: c.pathName(p), seed: c.dict.seed, finder: c.finder(p), view: c.view(), posts: map[uint64]uint32{}}
}

// hash is what a primitive is found by; ok is false for what nothing equals.
func (ix *index) hash(v value) (h uint64, ok bool) {
	switch v.kind {
	case kindText:
		return maphash.String(ix.seed, v.str), true
	case kindNull, kindBool, kindNumber:
		var b [9]byte
		b[0] = byte(v.kind)
		binary.LittleEndian.PutUint64(b[1:], math.Float64bits(v.num+0)) // -0 is 0
		return maphash.Bytes(ix.seed, b[:]), true
	default:
		return 0, false
	}
}

// of is the hash of what a document has.
func (ix *index) of(d document) (uint64, bool) {
	if !d.visible() {
		return 0, false
	}
	ix.view.open(d)
	return ix.hash(ix.finder.value(ix.view))
}

// change follows a change of a document. The collection's lock is held.
func (ix *index) change(old entry, next document) {
	if ix.old != nil {
		if _, known := ix.old[old.n]; !known {
			ix.old[old.n] = old.doc
		}
		return
	}
	ix.move(old.n, old.doc, next)
}

func (ix *index) move(n uint32, old, next document) {
	before, had := ix.of(old)
	after, has := ix.of(next)
	if had == has && before == after {
		return
	}
	if had {
		ix.remove(before, n)
	}
	if has {
		ix.add(after, n)
	}
}

func (ix *index) add(hash uint64, n uint32) {
	at, ok := ix.posts[hash]
	switch {
	case !ok:
		ix.posts[hash] = n
		return
	case at&shared != 0:
		ix.lists[at&^shared].add(n)
		return
	}
	list := posting{few: []uint32{at}}
	list.add(n)
	if last := len(ix.empty) - 1; last >= 0 {
		at = ix.empty[last]
		ix.empty = ix.empty[:last]
		ix.lists[at] = list
	} else {
		at = uint32(len(ix.lists))
		ix.lists = append(ix.lists, list)
	}
	ix.posts[hash] = at | shared
}

func (ix *index) remove(hash uint64, n uint32) {
	at, ok := ix.posts[hash]
	if !ok || at&shared == 0 {
		delete(ix.posts, hash)
		return
	}
	list := &ix.lists[at&^shared]
	if list.remove(n); list.count() == 0 {
		*list = posting{}
		ix.empty = append(ix.empty, at&^shared)
		delete(ix.posts, hash)
	}
}

func (p *posting) add(n uint32) {
	if p.many != nil {
		p.many.Add(n)
		return
	}
	if at, found := slices.BinarySearch(p.few, n); !found {
		p.few = slices.Insert(p.few, at, n)
	}
	if len(p.few) > maxFew {
		p.many = roaring.BitmapOf(p.few...)
		p.few = nil
	}
}

func (p *posting) remove(n uint32) {
	if p.many != nil {
		p.many.Remove(n)
		return
	}
	if at, found := slices.BinarySearch(p.few, n); found {
		p.few = slices.Delete(p.few, at, at+1)
	}
}

func (p *posting) count() int {
	if p.many != nil {
		return int(p.many.GetCardinality())
	}
	return len(p.few)
}

// find is the documents that may have one of the values, in a bitmap of the
// caller's own.
func (ix *index) find(values []value) *roaring.Bitmap {
	found := roaring.New()
	for _, v := range values {
		hash, ok := ix.hash(v)
		at, known := ix.posts[hash]
		switch {
		case !ok || !known:
		case at&shared == 0:
			found.Add(at)
		case ix.lists[at&^shared].many == nil:
			found.AddMany(ix.lists[at&^shared].few)
		default:
			found.Or(ix.lists[at&^shared].many)
		}
	}
	return found
}

// bytes is about what the index takes.
func (ix *index) bytes() int64 {
	n := int64(len(ix.posts)) * 24
	for i := range ix.lists {
		n += 32 + int64(cap(ix.lists[i].few))*4
		if ix.lists[i].many != nil {
			n += int64(ix.lists[i].many.GetSizeInBytes())
		}
	}
	return n
}

// build makes an index from a snapshot while writers go on, and then makes good
// what they have changed. It does nothing when somebody else builds it already.
func (c *Collection) build(ctx context.Context, p *path) error {
	ix := c.newIndex(p)
	ix.old = map[uint32]document{}
	c.mu.Lock()
	if c.indexes[ix.path] != nil {
		c.mu.Unlock()
		return nil
	}
	c.makeRoom(c.config.MaxIndexes - 1)
	c.indexes[ix.path] = ix
	s := snapshot{tree: c.tree.IsoCopy(), ranges: everything()}
	c.mu.Unlock()

	err := s.scan(ctx, "", func(e entry) bool {
		if hash, ok := ix.of(e.doc); ok {
			ix.add(hash, e.n)
		}
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		delete(c.indexes, ix.path)
		return err
	}
	for n, old := range ix.old {
		ix.move(n, old, c.docs[n])
	}
	ix.old = nil
	c.use(ix)
	c.makeRoom(c.config.MaxIndexes)
	return nil
}

// use tells the clock that the index is of use.
func (c *Collection) use(ix *index) {
	c.clock++
	ix.used = c.clock
}

// makeRoom forgets the indexes that nobody has used for longest, until there
// are no more than wanted and they keep to the memory that they may have.
// One that is being built stays.
func (c *Collection) makeRoom(wanted int) {
	for {
		var oldest *index
		var bytes int64
		for _, ix := range c.indexes {
			bytes += ix.size()
			if ix.old == nil && (oldest == nil || ix.used < oldest.used) {
				oldest = ix
			}
		}
		if oldest == nil || len(c.indexes) <= wanted && bytes <= c.limits.indexMemory {
			return
		}
		delete(c.indexes, oldest.path)
	}
}

// size is bytes of an index that is complete.
func (ix *index) size() int64 {
	if ix.old != nil {
		return 0
	}
	return ix.bytes()
}

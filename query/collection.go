package query

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/btree"

	"github.com/hubgate/hubgate/hub"
)

// Collection is documents in memory, in the order of their keys. It is safe for
// concurrent use. A query reads a copy of the tree of documents that costs
// nothing to take, so that it keeps no writer waiting.
type Collection struct {
	config   Config
	dict     *dictionary
	defaults string // a part
	limits   limits

	mu       sync.RWMutex
	tree     *btree.BTreeG[entry]
	docs     []document // by number; empty: the number is free
	free     []uint32
	visible  int
	bytes    int64
	indexes  map[string]*index // by path
	clock    uint64            // rises with each use of an index
	watchers map[*watcher]bool

	grouped groupCache
}

// limits are what tests make smaller.
type limits struct {
	groups      int // groups of a GROUP BY
	unindexed   int // documents that are not worth an index
	sparse      int // documents that are sorted rather than looked for in order
	indexMemory int64
	removed     int // rows that a watch may still have to take back
}

// entry is a document in the tree, with its number.
type entry struct {
	doc document
	n   uint32
}

// NewCollection returns an empty collection.
func NewCollection(config Config) *Collection {
	if config.MaxIndexes <= 0 {
		config.MaxIndexes = defaultIndexes
	}
	c := &Collection{
		config: config, dict: newDictionary(), indexes: map[string]*index{}, watchers: map[*watcher]bool{},
		limits: limits{groups: 100_000, unindexed: 1000, sparse: 2048, indexMemory: 256 << 20, removed: 100_000},
		tree:   btree.NewBTreeGOptions(func(a, b entry) bool { return a.doc.key() < b.doc.key() }, btree.Options{NoLocks: true}),
	}
	members := map[string]json.RawMessage{}
	for name, text := range config.Defaults {
		members[name] = json.RawMessage(text)
	}
	for range 2 { // the second time its shape is known
		text, err := json.Marshal(members)
		if err == nil {
			c.defaults, err = c.dict.encode("", text)
		}
		if err != nil {
			panic("query: the defaults of a collection are no JSON: " + err.Error())
		}
	}
	return c
}

// Set puts a JSON object in the place of one part of a document, from 0 to 3.
// Its members are root attributes. A document is visible while it has part 0.
// It fails with ArgumentInvalid when the object is none, or the key longer than
// 1024 bytes.
func (c *Collection) Set(key string, part int, object []byte) error {
	if part < 0 || part >= Parts || len(key) > maxKey {
		return hub.Errorf(hub.ArgumentInvalid, "part %d of the document %.130q cannot be kept: parts are 0 to %d, and keys have at most %d bytes", part, key, Parts-1, maxKey)
	}
	tape, err := c.dict.encode(key, object)
	if err != nil {
		return err
	}
	c.put(key, part, tape)
	return nil
}

// Drop forgets a part.
func (c *Collection) Drop(key string, part int) {
	if part >= 0 && part < Parts {
		c.put(key, part, "")
	}
}

// Delete forgets a document.
func (c *Collection) Delete(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.tree.Get(entry{doc: pivot(key)}); ok {
		c.replace(old, "")
	}
}

func (c *Collection) put(key string, part int, tape string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var parts [Parts]string
	old, ok := c.tree.Get(entry{doc: pivot(key)})
	if ok {
		parts = old.doc.split()
	}
	if parts[part] == tape {
		return
	}
	parts[part] = tape
	if parts == [Parts]string{} {
		c.replace(old, "")
		return
	}
	if !ok {
		old.n = c.number()
	}
	c.replace(old, assemble(key, parts))
}

// number takes a number that is free.
func (c *Collection) number() uint32 {
	if last := len(c.free) - 1; last >= 0 {
		n := c.free[last]
		c.free = c.free[:last]
		return n
	}
	c.docs = append(c.docs, "")
	return uint32(len(c.docs) - 1)
}

// replace puts next in the place of the old document, which is empty when there
// is none; an empty next deletes it. The lock is held.
func (c *Collection) replace(old entry, next document) {
	for _, ix := range c.indexes {
		ix.change(old, next)
	}
	for w := range c.watchers {
		w.change(old, next)
	}
	c.bytes += footprint(next) - footprint(old.doc)
	if old.doc.visible() {
		c.visible--
	}
	if next.visible() {
		c.visible++
	}
	c.docs[old.n] = next
	if next == "" {
		c.tree.Delete(old)
		c.free = append(c.free, old.n)
		return
	}
	c.tree.Set(entry{next, old.n})
}

// footprint is the memory of a document: its own, rounded up as the allocator
// does, and its places in the tree, which is two thirds full, and in the list.
func footprint(d document) int64 {
	const places = 24*3/2 + 16*5/4
	n := int64(len(d))
	if n == 0 {
		return 0
	}
	step := int64(16)
	for limit := int64(256); limit < n; limit *= 2 {
		step *= 2
	}
	return (n+step-1)/step*step + places
}

// Get returns a document as JSON.
func (c *Collection) Get(key string) ([]byte, bool) {
	d := c.lookup(key)
	if !d.visible() {
		return nil, false
	}
	v := c.view()
	v.open(d)
	return v.appendDocument(nil), true
}

func (c *Collection) lookup(key string) document {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, _ := c.tree.Get(entry{doc: pivot(key)})
	return found.doc
}

// Keys visits the keys of all documents, also of those that are not visible, in
// their order.
func (c *Collection) Keys(visit func(key string)) {
	c.mu.Lock()
	all := c.tree.IsoCopy()
	c.mu.Unlock()
	all.Scan(func(e entry) bool {
		visit(strings.Clone(e.doc.key())) // a key alone keeps no document
		return true
	})
}

// Matches reports whether the query's condition selects the document.
func (c *Collection) Matches(q *Query, key string) bool {
	d := c.lookup(key)
	return d.visible() && q.s.source == c.config.Source && c.filter(q)(d)
}

// Stats counts what the collection holds.
func (c *Collection) Stats() Stats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := Stats{Documents: c.visible, Bytes: c.bytes, Indexes: []Index{}}
	if c.tree.Len() > 0 {
		s.BytesPerDocument = float64(c.bytes) / float64(c.tree.Len())
	}
	for _, ix := range slices.SortedFunc(maps.Values(c.indexes), func(a, b *index) int { return strings.Compare(a.path, b.path) }) {
		if ix.old == nil { // complete
			s.Indexes = append(s.Indexes, Index{ix.path, len(ix.posts), ix.bytes()})
		}
	}
	return s
}

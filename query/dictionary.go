package query

import (
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
)

// What a dictionary holds at most. Beyond it documents keep what they have to
// themselves: they get longer, and nothing else happens.
const (
	maxShapes    = 1 << 16
	maxWords     = 1 << 16
	maxShapeText = 16 << 20 // bytes of names
	maxNames     = 32 << 10 // bytes of names of one shape
	maxWordText  = 4 << 20
	maxWord      = 64 // bytes of a text that may become a word
	sightings    = 1 << 14
)

// dictionary has what many documents have in common: the shapes of objects,
// which are their names in their order, and words, which are short texts.
//
// Something enters it when it is seen for the second time, so that ids and
// serial numbers stay outside. It only grows. Reading takes no lock: entries
// never change, and the slices are published whole.
type dictionary struct {
	seed maphash.Seed
	// shapes and words are what numbers on a tape mean.
	shapes atomic.Pointer[[]*shape]
	words  atomic.Pointer[[]string]

	mostShapes, mostWords int

	encoders sync.Pool // of *encoder

	mu        sync.RWMutex
	shapeOf   map[string]uint64 // names, each after its length
	wordOf    map[string]uint64
	names     map[string]string // one copy of each
	shapeText int
	wordText  int
	seen      [sightings]uint32 // hashes of what was seen once
}

// shape is the names of an object, and how JSON has each with its colon.
type shape struct{ names, labels []string }

func newDictionary() *dictionary {
	d := &dictionary{
		seed: maphash.MakeSeed(), mostShapes: maxShapes, mostWords: maxWords,
		shapeOf: map[string]uint64{"": 0}, wordOf: map[string]uint64{}, names: map[string]string{},
	}
	d.shapes.Store(&[]*shape{{}}) // 0 is the object with nothing in it
	d.words.Store(new([]string))
	return d
}

// again reports whether this has been seen lately, and remembers it.
func (d *dictionary) again(s string) bool {
	h := maphash.String(d.seed, s)
	place, mark := h%sightings, uint32(h>>32)|1
	if d.seen[place] == mark {
		return true
	}
	d.seen[place] = mark
	return false
}

// shape is the number of a list of names, each after its length as a varint. It
// fails when a name stands in it twice.
func (d *dictionary) shape(list []byte) (n uint64, known bool, err error) {
	d.mu.RLock()
	n, known = d.shapeOf[string(list)]
	d.mu.RUnlock()
	if known {
		return n, true, nil
	}
	text := string(list)
	var names []string
	for at := 0; at < len(text); {
		length, begin := uvarint(text, at)
		at = begin + int(length)
		names = append(names, text[begin:at])
	}
	sorted := slices.Sorted(slices.Values(names))
	for i, name := range sorted[1:] {
		if name == sorted[i] {
			return 0, false, fmt.Errorf("the name %.40q stands in an object twice", name)
		}
	}
	n, known = d.learn(text, names)
	return n, known, nil
}

// learn gives a list of names a number when it has been seen before.
func (d *dictionary) learn(list string, names []string) (n uint64, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n, ok := d.shapeOf[list]; ok {
		return n, true
	}
	if len(list) > maxNames || len(d.shapeOf) >= d.mostShapes || d.shapeText+len(list) > maxShapeText || !d.again(list) {
		return 0, false
	}
	d.shapeText += len(list)
	s := &shape{}
	for _, name := range names {
		s.names = append(s.names, d.name(name))
		s.labels = append(s.labels, d.name(string(append(appendQuoted(nil, name), ':'))))
	}
	all := append(*d.shapes.Load(), s)
	d.shapes.Store(&all)
	n = uint64(len(all) - 1)
	d.shapeOf[list] = n
	return n, true
}

func (d *dictionary) name(s string) string {
	if known, ok := d.names[s]; ok {
		return known
	}
	d.names[s] = s
	return s
}

// word is the number of a short text.
func (d *dictionary) word(text []byte) (uint64, bool) {
	if len(text) > maxWord || len(text) < 2 {
		return 0, false
	}
	d.mu.RLock()
	n, ok := d.wordOf[string(text)]
	full := len(d.wordOf) >= d.mostWords || d.wordText+len(text) > maxWordText
	d.mu.RUnlock()
	if ok || full {
		return n, ok
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n, ok := d.wordOf[string(text)]; ok {
		return n, true
	}
	s := string(text)
	if !d.again(s) {
		return 0, false
	}
	d.wordText += len(text)
	all := append(*d.words.Load(), s)
	d.words.Store(&all)
	n = uint64(len(all) - 1)
	d.wordOf[s] = n
	return n, true
}

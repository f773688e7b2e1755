package query

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Parts is how many parts a document has at most.
const Parts = 4

// document is one of a collection, in one piece of memory: the length of its
// key in two bytes, the key, the lengths of its parts, and the parts. It never
// changes.
type document string

const maxKey = 1024

func (d document) key() string {
	return string(d[2 : 2+int(d[0])<<8+int(d[1])])
}

// split gives the parts; one that the document has not is empty.
func (d document) split() (parts [Parts]string) {
	at := 2 + len(d.key())
	var lengths [Parts]int
	for i := range parts {
		var n uint64
		n, at = uvarint(string(d), at)
		lengths[i] = int(n)
	}
	for i, n := range lengths {
		parts[i] = string(d[at : at+n])
		at += n
	}
	return parts
}

// visible reports whether the document has part 0.
func (d document) visible() bool {
	return d != "" && d[2+len(d.key())] != 0
}

// assemble makes a document in memory of just its length.
func assemble(key string, parts [Parts]string) document {
	var room [Parts * binary.MaxVarintLen32]byte
	lengths, n := room[:0], 2+len(key)
	for _, p := range parts {
		lengths = binary.AppendUvarint(lengths, uint64(len(p)))
		n += len(p)
	}
	var b strings.Builder
	b.Grow(n + len(lengths))
	b.WriteByte(byte(len(key) >> 8))
	b.WriteByte(byte(len(key)))
	b.WriteString(key)
	b.Write(lengths)
	for _, p := range parts {
		b.WriteString(p)
	}
	return document(b.String())
}

// pivot is a document that stands where the key would.
func pivot(key string) document { return assemble(key, [Parts]string{}) }

// view is a document opened for reading, one after another. It is not for
// concurrent use.
type view struct {
	doc     document
	roots   [Parts + 1]string // the objects; the last has the defaults
	sources [Parts + 1]source
	config  *Config
	places  []place // room for appendDocument
}

// place is where a root member is.
type place struct {
	name           string
	part, at, rank int
}

func (c *Collection) view() *view {
	v := &view{config: &c.config}
	for i := range v.sources {
		v.sources[i].dict = c.dict
	}
	if len(c.defaults) > 0 {
		v.set(Parts, c.defaults)
	}
	return v
}

func (v *view) set(i int, part string) {
	v.roots[i] = ""
	if part == "" {
		return
	}
	base, at := uvarint(part, 0)
	v.sources[i].base = int64(base)
	v.roots[i] = part[at:]
}

// open reads where the parts of a document are.
func (v *view) open(d document) {
	v.doc = d
	key := d.key()
	for i, p := range d.split() {
		v.set(i, p)
		v.sources[i].key = key
	}
}

// appendDocument prints the document.
func (v *view) appendDocument(dst []byte) []byte {
	all := v.places[:0]
	for _, part := range [...]int{3, 2, 1, 0, Parts} {
		if v.roots[part] == "" {
			continue
		}
		before := all
		v.sources[part].members(v.roots[part], 0, func(name, _ string, at int) {
			if !slices.ContainsFunc(before, func(p place) bool { return p.name == name }) {
				all = append(all, place{name, part, at, v.config.rank(name)})
			}
		})
	}
	v.places = all
	slices.SortFunc(all, func(a, b place) int {
		if d := a.rank - b.rank; d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	dst = append(dst, '{')
	for i, p := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, p.name), ':')
		dst = v.sources[p.part].appendJSON(dst, v.roots[p.part], p.at)
	}
	return append(dst, '}')
}

// rank is where a root member is printed.
func (c *Config) rank(name string) int {
	if i := slices.Index(c.Order, name); i >= 0 {
		return i
	}
	return len(c.Order)
}

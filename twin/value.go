package twin

import (
	"github.com/go-json-experiment/json/jsontext"
)

// value is one JSON value of a section. It never changes once it is made:
// documents share what they have in common.
type value struct {
	object  bool
	members []member // of an object, in the order in which their keys first came
	text    string   // of anything else: compact JSON, numbers as they were sent
	size    int      // as the limits count it
	mark    mark
}

type member struct {
	key   string
	value *value
}

// mark is when a value was written and, in desired, by which version, 0 is
// none, and for which configuration, if it was for one.
type mark struct {
	ticks   ticks
	version int64
	writer  writer
}

const null = "null"

func (v *value) isNull() bool { return !v.object && v.text == null }

// newObject is an object of members with their size.
func newObject(members []member, m mark) *value {
	v := &value{object: true, members: members, mark: m}
	for _, m := range members {
		v.size += sizeOf(m.key) + m.value.size
	}
	return v
}

// searchable is how many comparisons are cheaper than a map.
const searchable = 256

// finder returns where in members a key is, -1 if nowhere. It is for as many
// searches as searches says.
func finder(members []member, searches int) func(string) int {
	if len(members)*searches <= searchable {
		return func(key string) int {
			for i, m := range members {
				if m.key == key {
					return i
				}
			}
			return -1
		}
	}
	index := make(map[string]int, len(members))
	for i, m := range members {
		index[m.key] = i
	}
	return func(key string) int {
		if i, ok := index[key]; ok {
			return i
		}
		return -1
	}
}

// merge applies a patch by the rules of JSON merge patch (RFC 7396): objects
// merge, null deletes, anything else replaces. What the patch names gets the
// mark m, with the objects that it is in.
func merge(old, patch *value, m mark) *value {
	if !patch.object {
		m.writer = patch.writerOver(old)
		return &value{text: patch.text, size: patch.size, mark: m}
	}
	var members []member
	if old != nil && old.object {
		members = old.members
	}
	if len(members) == 0 && len(patch.members) == 0 {
		m.writer = patch.writerOver(old)
	}
	return newObject(mergeMembers(members, patch.members, m), m)
}

// writerOver is for which configuration v, which has no members, is written in the
// place of old. Who sends back what he got has not taken it over.
func (v *value) writerOver(old *value) writer {
	if v.mark.writer == (writer{}) && old != nil && old.object == v.object && old.text == v.text {
		return old.mark.writer
	}
	return v.mark.writer
}

// mergeMembers applies the members of a patch to those of an object.
func mergeMembers(members, patch []member, m mark) []member {
	find, known := finder(members, len(patch)), len(members)
	next := make([]member, known, known+len(patch))
	copy(next, members)
	deleted := false
	for _, p := range patch {
		i := find(p.key) // a patch has no key twice, so that new ones need no search
		switch {
		case p.value.isNull() && i < 0:
		case p.value.isNull():
			next[i].value, deleted = nil, true
		case i < 0:
			next = append(next, member{p.key, merge(nil, p.value, m)})
		default:
			next[i].value = merge(next[i].value, p.value, m)
		}
	}
	if deleted {
		next = compact(next)
	}
	return next
}

// compact leaves out the members that have been deleted.
func compact(members []member) []member {
	kept := members[:0]
	for _, m := range members {
		if m.value != nil {
			kept = append(kept, m)
		}
	}
	return kept
}

// diff is the patch that makes a section of old which holds just what next
// does. It compares existence and not values, as IoT Hub does when a back end
// replaces a twin: all that next has, and null for what it has not.
func diff(old, next *value) *value {
	if !next.object || old == nil || !old.object {
		return next
	}
	in, before := finder(next.members, len(old.members)), finder(old.members, len(next.members))
	var members []member
	for _, m := range next.members {
		v := m.value
		if i := before(m.key); i >= 0 {
			v = diff(old.members[i].value, v)
		}
		members = append(members, member{m.key, v})
	}
	for _, m := range old.members {
		if in(m.key) < 0 {
			members = append(members, member{m.key, &value{text: null}})
		}
	}
	return newObject(members, next.mark)
}

// appendValue appends v as compact JSON.
func appendValue(dst []byte, v *value) []byte {
	if !v.object {
		return append(dst, v.text...)
	}
	dst = append(dst, '{')
	dst = appendMembers(dst, v)
	return append(dst, '}')
}

// appendMembers appends what is between the braces of an object.
func appendMembers(dst []byte, v *value) []byte {
	for i, m := range v.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendKey(dst, m.key)
		dst = appendValue(dst, m.value)
	}
	return dst
}

func appendKey(dst []byte, key string) []byte { return append(appendString(dst, key), ':') }

// appendString appends s as a JSON string. All strings of this package are
// valid UTF-8: nothing else is read.
func appendString(dst []byte, s string) []byte {
	if isVerbatim(s) { // as nearly all keys are, and a document has each of them twice
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// isVerbatim reports whether s stands in JSON as it is: ASCII without anything
// to escape.
func isVerbatim(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7F || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// length is about how many bytes appendMembers appends for v, and how many
// appendMetadata; of ASCII it is never too few.
func (v *value) length() (members, tree int) {
	members, tree = len(v.text)+2, metadataLength+v.mark.writer.length()
	for _, m := range v.members {
		name := len(m.key) + len(`"":,`)
		inner, below := m.value.length()
		members += name + inner
		tree += name + below
	}
	return members, tree
}

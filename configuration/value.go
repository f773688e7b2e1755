package configuration

import (
	"bytes"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

// value is one JSON value. It never changes once it is made.
type value struct {
	object  bool
	members map[string]*value // of an object
	text    string            // of anything else: compact JSON, as it was written
	compare string            // of anything else: the same for equal values
	by      string            // which configuration wrote it, in a twin
}

const null = "null"

func (v *value) isNull() bool { return !v.object && v.text == null }

// isObject reports whether v, which may be nil, is an object.
func (v *value) isObject() bool { return v != nil && v.object }

// equal reports whether two values without members are equal. Numbers are if
// they have the same value.
func (v *value) equal(w *value) bool { return v.compare == w.compare }

// newNull is null, which deletes in a patch.
func newNull() *value { return &value{text: null, compare: null} }

func newObject(members map[string]*value) *value { return &value{object: true, members: members} }

// under returns v as what stands at a path of an object.
func (v *value) under(path []string) *value {
	for _, key := range slices.Backward(path) {
		v = newObject(map[string]*value{key: v})
	}
	return v
}

// with returns v with w at a path, in place of what is there.
func (v *value) with(path []string, w *value) *value {
	if len(path) == 0 {
		return w
	}
	if !v.isObject() {
		return w.under(path)
	}
	members := maps.Clone(v.members)
	if members == nil {
		members = map[string]*value{}
	}
	members[path[0]] = v.members[path[0]].with(path[1:], w)
	return newObject(members)
}

// over returns w with v on top of it: objects merge, anything else replaces.
func (v *value) over(w *value) *value {
	if !v.object || !w.isObject() {
		return v
	}
	members := maps.Clone(w.members)
	if members == nil {
		members = map[string]*value{}
	}
	for key, member := range v.members {
		members[key] = member.over(w.members[key])
	}
	return newObject(members)
}

// append appends v as compact JSON, members by name.
func (v *value) append(dst []byte) []byte {
	if !v.object {
		return append(dst, v.text...)
	}
	dst = append(dst, '{')
	for i, key := range slices.Sorted(maps.Keys(v.members)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, _ = jsontext.AppendQuote(dst, key) // was read, and so is valid
		dst = append(dst, ':')
		dst = v.members[key].append(dst)
	}
	return append(dst, '}')
}

// parse reads one JSON value. It fails with ArgumentInvalid.
func parse(text []byte) (*value, error) {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	v, err := read(d)
	if err != nil {
		return nil, hub.Errorf(hub.ArgumentInvalid, "this is not JSON: %w", err)
	}
	return v, nil
}

func read(d *jsontext.Decoder) (*value, error) {
	if d.PeekKind() != '{' {
		return readLeaf(d)
	}
	members := map[string]*value{}
	err := eachMember(d, func(key string) (err error) {
		members[key], err = read(d)
		return err
	})
	return newObject(members), err
}

func readLeaf(d *jsontext.Decoder) (*value, error) {
	text, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	text = text.Clone()
	if err := text.Compact(); err != nil {
		return nil, err
	}
	v := &value{text: string(text)}
	if err := text.Canonicalize(); err != nil {
		return nil, err
	}
	v.compare = string(text)
	return v, nil
}

// eachMember reads an object and calls f for each key, when its value comes
// next.
func eachMember(d *jsontext.Decoder, f func(key string) error) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for {
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		if t.Kind() == '}' {
			return nil
		}
		if err := f(t.String()); err != nil {
			return err
		}
	}
}

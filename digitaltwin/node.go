package digitaltwin

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

// node is a JSON value: an object whose members keep their order, or the text
// of anything else.
type node struct {
	object  bool
	members []member
	index   map[string]int // of members, when there are many
	text    jsontext.Value
}

type member struct {
	key   string
	value *node // nil: it has been removed
}

// searchable is how many members are found without an index.
const searchable = 16

// find returns where the member with key is, -1 if nowhere.
func (n *node) find(key string) int {
	if len(n.members) <= searchable {
		return slices.IndexFunc(n.members, func(m member) bool { return m.key == key })
	}
	if n.index == nil {
		n.index = make(map[string]int, len(n.members))
		for i, m := range n.members {
			n.index[m.key] = i
		}
	}
	if i, ok := n.index[key]; ok {
		return i
	}
	return -1
}

// get returns a member, nil when there is none or n is not an object.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	if i := n.find(key); i >= 0 {
		return n.members[i].value
	}
	return nil
}

// set enters a member, at its old place if it had one.
func (n *node) set(key string, v *node) {
	if i := n.find(key); i >= 0 {
		n.members[i].value = v
		return
	}
	if n.index != nil {
		n.index[key] = len(n.members)
	}
	n.members = append(n.members, member{key, v})
}

// remove takes a member away, and leaves its place empty: what is behind it
// need not move.
func (n *node) remove(key string) {
	if i := n.find(key); i >= 0 {
		n.members[i].value = nil
	}
}

// clone copies n with all that is below it.
func (n *node) clone() *node {
	c := &node{object: n.object, text: n.text, members: make([]member, len(n.members))}
	for i, m := range n.members {
		c.members[i] = member{m.key, m.value.clone()}
	}
	return c
}

// isComponent reports whether a device twin marks n as a component.
func (n *node) isComponent() bool {
	mark := n.get(componentKey)
	return mark != nil && string(mark.text) == componentMark
}

// A component is an object with the member "__t":"c".
const (
	componentKey  = "__t"
	componentMark = `"c"`
)

// str returns the text of a JSON string, and of anything else nothing.
func (n *node) str() string {
	if n == nil || n.text.Kind() != '"' {
		return ""
	}
	s, err := jsontext.AppendUnquote(nil, n.text)
	if err != nil {
		return ""
	}
	return string(s)
}

// isInteger reports whether n is a number without fraction and exponent.
func (n *node) isInteger() bool {
	return n != nil && n.text.Kind() == '0' && !bytes.ContainsAny(n.text, ".eE")
}

func (n *node) append(dst []byte) []byte {
	if !n.object {
		return append(dst, n.text...)
	}
	dst = append(dst, '{')
	first := len(dst)
	for _, m := range n.members {
		if m.value == nil {
			continue
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = appendKey(dst, m.key)
		dst = m.value.append(dst)
	}
	return append(dst, '}')
}

func appendKey(dst []byte, key string) []byte { return append(appendString(dst, key), ':') }

// appendString appends s, which comes from JSON that has been read or is an id,
// so that it is UTF-8.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// read reads one JSON value. Objects below depth stay text: who needs to look
// into them says how deep.
func read(d *jsontext.Decoder, depth int) (*node, error) {
	if d.PeekKind() != '{' || depth == 0 {
		text, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		n := &node{text: text.Clone()}
		return n, n.text.Compact()
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	n := &node{object: true}
	for {
		key, err := d.ReadToken()
		if err != nil || key.Kind() == '}' {
			return n, err
		}
		name := key.String()
		v, err := read(d, depth-1)
		if err != nil {
			return nil, err
		}
		n.members = append(n.members, member{name, v})
	}
}

// twinDepth is more than a twin is deep: 10 below a section, which is two below
// the document, and as much in $metadata.
const twinDepth = 32

// sections is what matters of a twin.
type sections struct {
	id, model         string
	desired, reported *node
}

// open reads the JSON of a device twin.
func open(twin []byte) (sections, error) {
	doc, err := read(jsontext.NewDecoder(bytes.NewReader(twin)), twinDepth)
	if err != nil {
		return sections{}, hub.Errorf(hub.ServerError, "this is not the JSON of a twin: %w", err)
	}
	properties := doc.get("properties")
	s := sections{doc.get("deviceId").str(), doc.get("modelId").str(), properties.get("desired"), properties.get("reported")}
	if s.id == "" || s.desired == nil || s.reported == nil || !s.desired.object || !s.reported.object {
		return sections{}, hub.Errorf(hub.ServerError, "this is not the JSON of a twin: its id or its properties are missing")
	}
	return s, nil
}

package digitaltwin

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

// draft is the desired properties while operations are applied to them.
type draft struct {
	sections

	next *node // desired properties after the operations
	// touched has the names that operations wrote, in their order: of
	// properties and components of the device, with the properties of the
	// latter below. What is written again with the same value is written: the
	// device is told, and its version moves.
	touched *node
}

func (d *draft) apply(o operation) error {
	isComponent := o.inner != "" || o.value != nil && o.isComponent()
	switch {
	case isComponent && d.hasPlain(o.name):
		return nonconforming(o.name)
	case !isComponent && o.value != nil && d.hasComponent(o.name):
		return o.broken(`%s is a component: its value needs the member "$metadata":{}`, o.name)
	case o.value == nil:
		d.remove(o)
	case o.inner != "":
		d.putInner(o)
	case isComponent:
		d.putComponent(o)
	default:
		d.touch(o.name)
		d.next.set(o.name, o.value)
	}
	return nil
}

func (d *draft) remove(o operation) {
	if o.inner != "" {
		d.removeInner(o)
		return
	}
	d.touch(o.name, d.next.get(o.name).all()...)
	d.next.remove(o.name)
}

// nonconforming is IoT Hub's error for a twin that is not one of IoT Plug and
// Play, in its words.
func nonconforming(name string) error {
	return hub.Errorf(hub.ArgumentInvalid, "'%s' exists within the device twin and is not digital twin conformant property. Please refer to aka.ms/dtpatch to update this to be conformant.", name)
}

func (d *draft) hasComponent(name string) bool {
	return d.next.get(name).isComponent() || d.reported.get(name).isComponent()
}

// hasPlain reports whether either side has something of this name that is not a
// component.
func (d *draft) hasPlain(name string) bool {
	for _, n := range [...]*node{d.next.get(name), d.reported.get(name)} {
		if n != nil && !n.isComponent() {
			return true
		}
	}
	return false
}

// touch notes that a name was written, and what below it.
func (d *draft) touch(name string, below ...member) {
	t := d.touched.get(name)
	if t == nil {
		t = &node{object: true}
		d.touched.set(name, t)
	}
	for _, m := range below {
		t.set(m.key, m.value)
	}
}

func newComponent() *node {
	return &node{object: true, members: []member{{componentKey, &node{text: jsontext.Value(componentMark)}}}}
}

func (d *draft) putInner(o operation) {
	c := d.next.get(o.name)
	if c == nil {
		c = newComponent()
		d.next.set(o.name, c)
	}
	d.touch(o.name, member{o.inner, o.value})
	c.set(o.inner, o.value)
}

func (d *draft) removeInner(o operation) {
	d.touch(o.name, member{o.inner, nil})
	c := d.next.get(o.name)
	if c == nil {
		return
	}
	if c.remove(o.inner); !slices.ContainsFunc(c.members, member.isUsers) {
		d.next.remove(o.name)
	}
}

// putComponent puts a component in place of what there is of it.
func (d *draft) putComponent(o operation) {
	d.touch(o.name, d.next.get(o.name).all()...)
	c := newComponent()
	for _, m := range o.value.all() {
		c.set(m.key, m.value)
	}
	d.touch(o.name, c.all()...)
	d.next.set(o.name, c)
}

// update writes what is to be merged into the desired properties.
func (d *draft) update() []byte {
	changes := &node{object: true}
	for _, t := range d.touched.members {
		before, after := d.desired.get(t.key), d.next.get(t.key)
		if !before.isComponent() || !after.isComponent() {
			changes.set(t.key, overwrite(before, after))
			continue
		}
		c := newComponent()
		for _, m := range t.value.members {
			c.set(m.key, overwrite(before.get(m.key), after.get(m.key)))
		}
		changes.set(t.key, c)
	}
	return append(changes.append([]byte(`{"properties":{"desired":`)), '}', '}')
}

// overwrite is what has to be merged into before to make it after, all of which
// it names.
func overwrite(before, after *node) *node {
	if after == nil {
		return &node{text: jsontext.Value("null")}
	}
	if !after.object || before == nil || !before.object {
		return after
	}
	merge := &node{object: true}
	for _, m := range after.members {
		if m.value == nil {
			continue
		}
		merge.set(m.key, overwrite(before.get(m.key), m.value))
	}
	for _, m := range before.members {
		if after.get(m.key) == nil {
			merge.set(m.key, overwrite(m.value, nil))
		}
	}
	return merge
}

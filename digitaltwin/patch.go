package digitaltwin

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

const (
	// maxOperations bounds the work of one patch; a twin has no room for more.
	maxOperations = 1000
	// maxFields is how deep objects may be in the value of a property.
	maxFields = 5
)

// Patch makes the update of a device twin that has the effect of a JSON Patch
// on its digital twin: {"properties":{"desired":{…}}}, to be merged. twin is the
// JSON of the device twin as it is; the update is good for that one only, so
// that whoever stores it makes sure by its etag.
//
// An operation is add, replace or remove, of /property, /component/property or
// /component. The value of a component has the member "$metadata":{}, and takes
// the place of all that is desired of the component. Removing the last desired
// property of a component removes it. Patch fails with ArgumentInvalid, also
// when the twin has a property where the patch has a component or the reverse.
func Patch(twin, patch []byte) (update []byte, err error) {
	s, err := open(twin)
	if err != nil {
		return nil, err
	}
	operations, err := parse(patch)
	if err != nil {
		return nil, err
	}
	d := &draft{sections: s, next: s.desired.clone(), touched: &node{object: true}}
	for _, o := range operations {
		if err := d.apply(o); err != nil {
			return nil, err
		}
	}
	return d.update(), nil
}

// operation is one of a JSON Patch.
type operation struct {
	index int
	verb  string
	path  string
	// name is that of a property or component of the device, and inner that of
	// a property of the component.
	name, inner string
	value       *node // nil: none
}

// broken is the error for an operation that breaks a rule.
func (o operation) broken(format string, args ...any) error {
	err := hub.Errorf(hub.ArgumentInvalid, format, args...)
	return hub.Errorf(hub.ArgumentInvalid, "operation %d of the patch, %s: %w", o.index, quoted(o.path, 140), err)
}

// quoted is s between quotes, cut to so many bytes: a character may be ten of them.
func quoted(s string, most int) string {
	q := strconv.Quote(s)
	if len(q) > most {
		q = strings.ToValidUTF8(q[:most], "") + "…"
	}
	return q
}

// parse reads a JSON Patch and checks what can be checked without the twin.
func parse(patch []byte) ([]operation, error) {
	d := jsontext.NewDecoder(bytes.NewReader(patch))
	if kind := d.PeekKind(); kind != '[' && kind != jsontext.KindInvalid {
		return nil, hub.Errorf(hub.ArgumentInvalid, `the body is not a JSON Patch: send an array such as [{"op":"add","path":"/property","value":1}]`)
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, malformed(err)
	}
	var all []operation
	for d.PeekKind() != ']' {
		n, err := read(d, 2+maxFields)
		if err != nil {
			return nil, malformed(err)
		}
		o, err := newOperation(len(all), n)
		if err != nil {
			return nil, err
		}
		if all = append(all, o); len(all) > maxOperations {
			return nil, hub.Errorf(hub.ArgumentInvalid, "a patch has at most %d operations", maxOperations)
		}
	}
	_, err := d.ReadToken()
	if err == nil {
		_, err = d.ReadToken()
	}
	switch {
	case err == nil:
		return nil, hub.Errorf(hub.ArgumentInvalid, "something follows the JSON Patch at byte %d", d.InputOffset())
	case !errors.Is(err, io.EOF):
		return nil, malformed(err)
	case len(all) == 0:
		return nil, hub.Errorf(hub.ArgumentInvalid, "the patch has no operation")
	}
	return all, nil
}

func malformed(err error) error {
	s, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok { // nothing but white space
		return hub.Errorf(hub.ArgumentInvalid, "the body is not JSON: it is empty or ends too early")
	}
	return hub.Errorf(hub.ArgumentInvalid, "the body is not JSON: %v at byte %d", s.Err, s.ByteOffset)
}

func newOperation(index int, n *node) (operation, error) {
	o := operation{index: index, verb: n.get("op").str(), path: n.get("path").str(), value: n.get("value")}
	if !n.object {
		return o, o.broken("it is not a JSON object")
	}
	if err := o.split(); err != nil {
		return o, err
	}
	switch o.verb {
	case "add", "replace":
		return o, o.checkValue()
	case "remove":
		o.value = nil
		return o, nil
	}
	return o, o.broken(`the op is %.32q; it must be "add", "replace" or "remove"`, o.verb)
}

// split takes the path apart. Names of DTDL need none of the escapes of JSON
// pointers.
func (o *operation) split() error {
	parts := bytes.Split([]byte(o.path), []byte{'/'})
	if len(parts) < 2 || len(parts) > 3 || len(parts[0]) > 0 {
		return o.broken("the path must be /property, /component or /component/property")
	}
	o.name = string(parts[1])
	if err := checkName(o.name); err != nil {
		return o.broken("%w", err)
	}
	if len(parts) == 2 {
		return nil
	}
	o.inner = string(parts[2])
	if err := checkName(o.inner); err != nil {
		return o.broken("%w", err)
	}
	return nil
}

// isComponent reports whether the value is that of a component: it has the
// member "$metadata".
func (o *operation) isComponent() bool { return o.value.get(marker) != nil }

const marker = "$metadata"

// checkValue checks a value and takes the marker from that of a component.
func (o *operation) checkValue() error {
	if o.value == nil {
		return o.broken("there is no value; to take something away, use the op remove")
	}
	if o.inner != "" || !o.isComponent() {
		return o.checkField(o.value, maxFields)
	}
	if m := o.value.get(marker); !m.object || len(m.members) > 0 {
		return o.broken("$metadata marks a component and must be {}")
	}
	for _, m := range o.value.members {
		if m.key == marker {
			continue
		}
		if err := checkName(m.key); err != nil {
			return o.broken("%w", err)
		}
		if err := o.checkField(m.value, maxFields); err != nil {
			return err
		}
	}
	return nil
}

// checkField checks the value of a property, whose objects may be deep inside
// each other.
func (o *operation) checkField(v *node, deep int) error {
	switch {
	case v.object && deep == 0, !v.object && v.text.Kind() == '{':
		return o.broken("the objects of a property are at most %d deep", maxFields)
	case !v.object && v.text.Kind() == '[':
		return o.broken("a property holds no array")
	case !v.object && v.text.Kind() == 'n':
		return o.broken("a property is never null; to take it away, use the op remove")
	}
	for _, m := range v.members {
		if err := checkName(m.key); err != nil {
			return o.broken("%w", err)
		}
		if err := o.checkField(m.value, deep-1); err != nil {
			return err
		}
	}
	return nil
}

package docs

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
)

// payloads returns the schemas of what may be asked and answered, as the
// document has them.
func (d *document) payloads(c *channel) (requests, answers []any) {
	for _, m := range c.messages {
		requests = append(requests, d.payload(m.name))
	}
	for _, m := range d.replies[c.name].messages {
		if m.name != "refusal" {
			answers = append(answers, d.payload(m.name))
		}
	}
	return requests, answers
}

func (d *document) payload(message string) any {
	return child(child(child(d.root, "components"), "messages"), message)["payload"]
}

// compareSchemas holds the schema in an endpoint's metadata against those of
// the document. It may say less, and nothing else.
func (s *suite) compareSchemas(t *testing.T, what, metadata string, schemas []any) {
	t.Helper()
	var own object
	if err := json.Unmarshal([]byte(metadata), &own); err != nil || len(own) == 0 {
		t.Errorf("%s: the metadata has no schema: %q, %v", what, metadata, err)
		return
	}
	for _, schema := range schemas {
		for _, difference := range s.doc.differences("", own, schema) {
			t.Errorf("%s: the metadata and the document differ: %s", what, difference)
		}
	}
}

// differences lists what own says and the document does not. Names of
// properties have to be the same wherever both list them.
func (d *document) differences(path string, own object, schema any) []string {
	s := d.resolve(schema)
	var out []string
	differ := func(key string) {
		out = append(out, fmt.Sprintf("%s/%s: %v and %v", path, key, own[key], s[key]))
	}
	for key, value := range own {
		switch key {
		case "description":
		case "properties":
			out = append(out, d.differentProperties(path, own, s)...)
		case "items":
			out = append(out, d.differences(path+"/items", value.(object), s["items"])...)
		case "required", "enum":
			if !sameSet(value, s[key]) {
				differ(key)
			}
		default:
			if !reflect.DeepEqual(value, s[key]) {
				differ(key)
			}
		}
	}
	return out
}

func (d *document) differentProperties(path string, own, s object) []string {
	mine, theirs := child(own, "properties"), child(s, "properties")
	a, b := slices.Sorted(maps.Keys(mine)), slices.Sorted(maps.Keys(theirs))
	if !slices.Equal(a, b) {
		return []string{fmt.Sprintf("%s: the properties are %q and %q", path, a, b)}
	}
	var out []string
	for name, value := range mine {
		out = append(out, d.differences(path+"/"+name, value.(object), theirs[name])...)
	}
	return out
}

// resolve follows references.
func (d *document) resolve(schema any) object {
	s, _ := schema.(object)
	for text(s, "$ref") != "" {
		s = child(child(child(d.root, "components"), "schemas"), lastName(text(s, "$ref")))
	}
	return s
}

func sameSet(a, b any) bool {
	x, y := texts(a), texts(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

package docs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// message is a message of the document, as strict as it can be read: what the
// document does not name is not there.
type message struct {
	name    string
	headers *jsonschema.Schema
	payload *jsonschema.Schema
	isJSON  bool // the body is
	isEmpty bool // there is no body
}

// resource is what the compiler calls the document.
const resource = "file:///asyncapi.json"

// compileMessages compiles the headers and payloads of all messages.
func compileMessages(t *testing.T, d *document) map[string]*message {
	t.Helper()
	closeSchemas(d.root)
	closed := object{}
	messages := child(child(d.root, "components"), "messages")
	for name, v := range messages {
		m := v.(object)
		closed[name] = object{
			"headers": object{"allOf": []any{orEmpty(m["headers"])}, "unevaluatedProperties": false},
			"payload": object{"allOf": []any{orEmpty(m["payload"])}, "unevaluatedProperties": false},
		}
	}
	whole := maps.Clone(d.root)
	whole["x-closed"] = closed
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(resource, whole); err != nil {
		t.Fatal(err)
	}
	compile := func(path string) *jsonschema.Schema {
		s, err := c.Compile(resource + "#/x-closed/" + path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	out := map[string]*message{}
	for name, v := range messages {
		m := v.(object)
		kind := text(m, "contentType")
		_, hasBody := m["payload"]
		out[name] = &message{
			name: name, headers: compile(name + "/headers"), payload: compile(name + "/payload"),
			isJSON: kind == "" || kind == "application/json", isEmpty: !hasBody,
		}
		_, open := child(m, "payload")["$ref"]
		if open && anything(d.root, text(child(m, "payload"), "$ref")) {
			out[name].payload = nil
		}
	}
	return out
}

// orEmpty is a schema, or that of an object of which nothing is said.
func orEmpty(schema any) any {
	if schema == nil {
		return object{"type": "object"}
	}
	return schema
}

// anything reports whether a named schema says nothing but what it is for.
func anything(root object, ref string) bool {
	s := child(child(child(root, "components"), "schemas"), lastName(ref))
	_, described := s["description"]
	return described && len(s) == 1
}

// closeSchemas forbids, in every schema with properties that is not a part of
// another one, what it does not name.
func closeSchemas(root object) {
	named := child(child(root, "components"), "schemas")
	parts := map[string]bool{}
	for _, s := range named {
		collectParts(s, parts)
	}
	for name, s := range named {
		closeSchema(s, !parts[name])
	}
}

// collectParts notes the schemas that an allOf refers to.
func collectParts(v any, parts map[string]bool) {
	switch v := v.(type) {
	case object:
		all, _ := v["allOf"].([]any)
		for _, part := range all {
			parts[lastName(text(part.(object), "$ref"))] = true
		}
		for _, inner := range v {
			collectParts(inner, parts)
		}
	case []any:
		for _, inner := range v {
			collectParts(inner, parts)
		}
	}
}

func closeSchema(v any, whole bool) {
	s, ok := v.(object)
	if !ok {
		return
	}
	all, _ := s["allOf"].([]any)
	for _, part := range all {
		closeSchema(part, false)
	}
	for _, inner := range child(s, "properties") {
		closeSchema(inner, true)
	}
	closeSchema(s["items"], true)
	closeSchema(s["additionalProperties"], true)
	_, hasProperties := s["properties"]
	_, said := s["additionalProperties"]
	if whole && hasProperties && !said {
		s["unevaluatedProperties"] = false
	}
}

// fits says in what a message that was seen is not m.
func (m *message) fits(h nats.Header, body []byte) error {
	headers := object{}
	for name, values := range h {
		if isOurs(name) && len(values) > 0 {
			headers[name] = values[0]
		}
	}
	err := m.headers.Validate(headers)
	switch {
	case m.isEmpty && len(body) > 0:
		err = errors.Join(err, errors.New("it has a body"))
	case m.isJSON && !m.isEmpty:
		err = errors.Join(err, validJSON(m.payload, body))
	}
	if err != nil {
		return fmt.Errorf("as %s: %w", m.name, err)
	}
	return nil
}

// validJSON validates a body; nothing is {}. Without a schema any JSON is good.
func validJSON(schema *jsonschema.Schema, body []byte) error {
	if len(body) == 0 {
		body = []byte("{}")
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil || schema == nil {
		return err
	}
	return schema.Validate(v)
}

// isOurs reports whether a header is the hub's, and not JetStream's own.
func isOurs(name string) bool {
	return !strings.HasPrefix(name, "Nats-") || strings.HasPrefix(name, "Nats-Service-")
}

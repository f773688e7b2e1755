package docs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// object is a JSON object of the document.
type object = map[string]any

// document is docs/asyncapi.yaml.
type document struct {
	root     object
	channels map[string]*channel // by name
	replies  map[string]*replies // by the name of the channel of the requests
	common   []string            // error codes of every operation
}

// channel is a channel with what the contract adds to it.
type channel struct {
	name     string
	address  string // empty: it is known at run time only
	stream   string
	bucket   string
	service  string
	endpoint string
	messages map[string]*message
}

// replies are what an operation may answer.
type replies struct {
	operation string
	messages  map[string]*message
	errors    []string
}

func readDocument(t *testing.T) *document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "asyncapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var parsed any
	if err := yaml.Unmarshal(text, &parsed); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(parsed) // the types are those of JSON from now on
	if err != nil {
		t.Fatal(err)
	}
	d := &document{channels: map[string]*channel{}, replies: map[string]*replies{}}
	if err := json.Unmarshal(asJSON, &d.root); err != nil {
		t.Fatal(err)
	}
	d.common = texts(d.root["x-common-errors"])
	schemas := compileMessages(t, d)
	for name, v := range child(d.root, "channels") {
		d.channels[name] = d.channel(t, name, v.(object), schemas)
	}
	d.readReplies(t)
	return d
}

func (d *document) channel(t *testing.T, name string, v object, schemas map[string]*message) *channel {
	t.Helper()
	c := &channel{
		name: name, address: text(v, "address"), stream: text(v, "x-stream"), bucket: text(v, "x-bucket"),
		service: text(v, "x-service"), endpoint: text(v, "x-endpoint"), messages: map[string]*message{},
	}
	for key, m := range child(v, "messages") {
		ref := lastName(text(m.(object), "$ref"))
		if c.messages[key] = schemas[ref]; schemas[ref] == nil {
			t.Fatalf("channel %s: there is no message %q", name, ref)
		}
	}
	return c
}

// readReplies reads the operations. Each request has one, with what answers it.
func (d *document) readReplies(t *testing.T) {
	t.Helper()
	for name, v := range child(d.root, "operations") {
		op := v.(object)
		from := lastName(text(child(op, "channel"), "$ref"))
		c := d.channels[from]
		if c == nil || d.replies[from] != nil {
			t.Fatalf("operation %s: the channel %q is not there, or has another operation", name, from)
		}
		r := &replies{operation: name, messages: map[string]*message{}, errors: texts(op["x-errors"])}
		d.replies[from] = r
		answers, _ := child(op, "reply")["messages"].([]any)
		for _, m := range answers {
			ref := lastName(text(m.(object), "$ref"))
			if r.messages[ref] = d.channels["replies"].messages[ref]; r.messages[ref] == nil {
				t.Fatalf("operation %s: there is no reply %q", name, ref)
			}
		}
		if (c.service != "") != (len(answers) > 0) {
			t.Errorf("operation %s: a service, and nothing else, answers", name)
		}
	}
}

// find returns the channels with a subject; there should be one.
func (d *document) find(subject string) []*channel {
	var found []*channel
	for _, c := range d.channels {
		if c.address != "" && matches(c.address, subject) {
			found = append(found, c)
		}
	}
	return found
}

// isInternal reports whether a subject is between nodes only.
func (d *document) isInternal(subject string) bool {
	return slices.ContainsFunc(texts(d.root["x-internal"]), func(address string) bool { return matches(address, subject) })
}

// matches reports whether a subject, which may be a pattern itself, is of an
// address. {identity} stands for one token or two, any other parameter for one.
func matches(address, subject string) bool {
	return matchTokens(strings.Split(address, "."), strings.Split(subject, "."))
}

func matchTokens(want, got []string) bool {
	switch {
	case len(want) == 0:
		return len(got) == 0
	case len(got) == 0:
		return false
	case want[0] == "{identity}":
		return got[0] == ">" || matchTokens(want[1:], got[1:]) || len(got) > 1 && matchTokens(want[1:], got[2:])
	case strings.HasPrefix(want[0], "{") || want[0] == got[0]:
		return matchTokens(want[1:], got[1:])
	default:
		return false
	}
}

// wildcard is an address as a subject to subscribe to.
func wildcard(address string) string {
	tokens := strings.Split(address, ".")
	for i, token := range tokens {
		if token == "{identity}" {
			return strings.Join(append(tokens[:i:i], ">"), ".")
		}
		if strings.HasPrefix(token, "{") {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

func child(v object, key string) object {
	c, _ := v[key].(object)
	return c
}

func text(v object, key string) string {
	s, _ := v[key].(string)
	return s
}

func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, _ := item.(string)
		out = append(out, s)
	}
	return out
}

func lastName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

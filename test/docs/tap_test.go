package docs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hubgate/hubgate/test/hubtest"
)

// replySubject is what the scenario has results of commands sent to.
const replySubject = "app.results"

// tap sees everything that is published in the account of the hub, and holds
// it against the document.
type tap struct {
	t        *testing.T
	doc      *document
	metadata map[string][2]*jsonschema.Schema // of requests and answers, by channel

	mu      sync.Mutex
	waiting map[string]request // by reply subject
	seen    map[string]bool    // "channel message" and "operation message"
	over    bool
	changed chan struct{} // has room for one
}

// request is one that has no answer yet.
type request struct {
	channel *channel
	invalid error // what the document has against it
}

// listen begins to look. It ends with t.
func (s *suite) listen(t *testing.T) *tap {
	t.Helper()
	p := &tap{
		t: t, doc: s.doc, metadata: s.metadata(t), waiting: map[string]request{},
		seen: map[string]bool{}, changed: make(chan struct{}, 1),
	}
	sub, err := s.hub.NATS.Subscribe(">", p.take)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = s.hub.NATS.FlushTimeout(hubtest.Patience)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sub.Unsubscribe()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.over = true
	})
	return p
}

// metadata compiles the schemas of all endpoints.
func (s *suite) metadata(t *testing.T) map[string][2]*jsonschema.Schema {
	t.Helper()
	out := map[string][2]*jsonschema.Schema{}
	infos := s.services(t, len(child(s.doc.root, "x-services")))
	for _, c := range s.doc.channels {
		for _, e := range infos[c.service].Endpoints {
			if e.Name == c.endpoint {
				out[c.name] = [2]*jsonschema.Schema{compileText(t, e.Metadata["request_schema"]), compileText(t, e.Metadata["response_schema"])}
			}
		}
	}
	return out
}

func compileText(t *testing.T, schema string) *jsonschema.Schema {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		t.Fatalf("schema %q: %v", schema, err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("metadata.json", v); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("metadata.json")
	if err != nil {
		t.Fatalf("schema %q: %v", schema, err)
	}
	return compiled
}

func (p *tap) take(m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	r, isAnswer := p.waiting[m.Subject]
	found := p.doc.find(m.Subject)
	switch {
	case isAnswer:
		p.answer(r, m)
	case m.Subject == replySubject:
		p.known(p.doc.channels["commandReplies"], m)
	case len(found) == 1 && found[0].service != "":
		p.asked(found[0], m)
	case len(found) == 1:
		p.known(found[0], m)
	case len(found) > 1:
		p.t.Errorf("%s is the subject of %d channels", m.Subject, len(found))
	case isHubs(m.Subject) && !p.doc.isInternal(m.Subject):
		p.t.Errorf("%s is not in the document", m.Subject)
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// isHubs reports whether a subject is one of the hub's.
func isHubs(subject string) bool {
	return strings.HasPrefix(subject, "hub.") || strings.HasPrefix(subject, "$KV.hub_")
}

// known looks at a message of a channel that nobody answers.
func (p *tap) known(c *channel, m *nats.Msg) {
	if err := p.fit(c.name, c.messages, m); err != nil {
		p.t.Errorf("channel %s: %s: %v\n%v\n%.2000s", c.name, m.Subject, err, m.Header, m.Data)
	}
}

// asked looks at a request. One that the document forbids is good when it is
// refused.
func (p *tap) asked(c *channel, m *nats.Msg) {
	err := p.fit(c.name, c.messages, m)
	if err == nil {
		err = validJSON(p.metadata[c.name][0], m.Data)
	}
	p.waiting[m.Reply] = request{c, err}
}

func (p *tap) answer(r request, m *nats.Msg) {
	delete(p.waiting, m.Subject)
	ok := p.doc.replies[r.channel.name]
	code := m.Header.Get("Nats-Service-Error-Code")
	if err := p.fit(ok.operation, ok.messages, m); err != nil {
		p.t.Errorf("operation %s: the answer: %v\n%v\n%.2000s", ok.operation, err, m.Header, m.Data)
	}
	switch {
	case code != "" && !slices.Contains(ok.errors, code) && !slices.Contains(p.doc.common, code):
		p.t.Errorf("operation %s: x-errors has no %s: %s", ok.operation, code, m.Header.Get("Nats-Service-Error"))
	case code != "":
	case r.invalid != nil:
		p.t.Errorf("operation %s: the document forbids what the hub has accepted: %v", ok.operation, r.invalid)
	case r.channel.service != "hub-method": // its answers need not be JSON
		if err := validJSON(p.metadata[r.channel.name][1], m.Data); err != nil {
			p.t.Errorf("operation %s: the answer breaks the schema in the endpoint's metadata: %v", ok.operation, err)
		}
	}
}

// fit finds the message of the document that m is.
func (p *tap) fit(where string, messages map[string]*message, m *nats.Msg) error {
	var misfits []error
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		err := messages[name].fits(m.Header, m.Data)
		if err == nil {
			p.seen[where+" "+name] = true
			return nil
		}
		misfits = append(misfits, err)
	}
	return errors.Join(misfits...)
}

// unseen lists what the document has and nobody has sent yet.
func (p *tap) unseen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	late := map[string]bool{} // what takes days to come
	for _, name := range texts(p.doc.root["x-late"]) {
		late[name] = true
	}
	note := func(where string, messages map[string]*message) {
		for name := range messages {
			if what := where + " " + name; !p.seen[what] && !late[what] {
				out = append(out, fmt.Sprintf("%s: %s", where, name))
			}
		}
	}
	for name, c := range p.doc.channels {
		if name != "replies" {
			note(name, c.messages)
		}
	}
	for _, r := range p.doc.replies {
		note(r.operation, r.messages)
	}
	slices.Sort(out)
	return out
}

// awaitAll waits until every message of the document was seen, or something
// was wrong with one.
func (p *tap) awaitAll() {
	p.t.Helper()
	limit := time.NewTimer(2 * hubtest.Patience)
	defer limit.Stop()
	for {
		left := p.unseen()
		if len(left) == 0 || p.t.Failed() {
			return
		}
		select {
		case <-p.changed:
		case <-limit.C:
			p.t.Fatalf("the document has messages that nobody has sent:\n%s", strings.Join(left, "\n"))
		}
	}
}

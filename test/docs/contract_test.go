package docs

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/test/hubtest"
)

// testStreams compares the streams and buckets of a new hub with the document.
func (s *suite) testStreams(t *testing.T) {
	d := s.doc
	made := map[string]bool{}
	for info := range s.hub.JS.ListStreams(t.Context()).Info() {
		cfg := info.Config
		name, isBucket := strings.CutPrefix(cfg.Name, "KV_")
		made[name] = true
		section, subjects := "x-streams", texts(child(child(d.root, "x-streams"), name)["subjects"])
		if isBucket {
			section, subjects = "x-buckets", []string{"$KV." + name + ".>"}
		}
		said := child(child(d.root, section), name)
		if said == nil {
			t.Errorf("%s has no %s", section, name)
			continue
		}
		if !slices.Equal(cfg.Subjects, subjects) {
			t.Errorf("%s has the subjects %q, and not %q", name, cfg.Subjects, subjects)
		}
		compareConfig(t, name, cfg, said)
		s.hasChannels(t, name, subjects)
	}
	for _, section := range []string{"x-streams", "x-buckets"} {
		for name := range child(d.root, section) {
			if !made[name] {
				t.Errorf("%s has %s, which the hub does not make", section, name)
			}
		}
	}
}

func compareConfig(t *testing.T, name string, cfg jetstream.StreamConfig, said object) {
	t.Helper()
	age, _ := time.ParseDuration(text(said, "maxAge"))
	if cfg.MaxAge != age {
		t.Errorf("%s: maxAge is %v, and not %v", name, cfg.MaxAge, age)
	}
	if cfg.Description != text(said, "description") {
		t.Errorf("%s: the description is %q", name, cfg.Description)
	}
	perSubject := said["history"]
	if perSubject == nil {
		perSubject = said["maxMessagesPerSubject"]
	}
	if perSubject == nil {
		perSubject = float64(-1)
	}
	if float64(cfg.MaxMsgsPerSubject) != perSubject {
		t.Errorf("%s: %d messages for a subject, and not %v", name, cfg.MaxMsgsPerSubject, perSubject)
	}
	discard := map[string]jetstream.DiscardPolicy{"old": jetstream.DiscardOld, "new": jetstream.DiscardNew, "": jetstream.DiscardNew}
	if cfg.Discard != discard[text(said, "discard")] {
		t.Errorf("%s: discard is %v", name, cfg.Discard)
	}
}

// hasChannels looks for the channels of a stream or bucket: one at least, and
// all of them below its subjects.
func (s *suite) hasChannels(t *testing.T, name string, subjects []string) {
	t.Helper()
	n := 0
	for _, c := range s.doc.channels {
		if c.stream != name && c.bucket != name {
			continue
		}
		n++
		for _, address := range forms(c.address) {
			if !slices.ContainsFunc(subjects, func(p string) bool { return covers(p, address) }) {
				t.Errorf("channel %s: %s is not below %q", c.name, address, subjects)
			}
		}
	}
	if n == 0 {
		t.Errorf("no channel tells what is in %s", name)
	}
}

// forms are the patterns of an address: an identity at its end is one token or two.
func forms(address string) []string {
	if head, ok := strings.CutSuffix(address, "{identity}"); ok {
		return []string{wildcard(head + "{device}"), wildcard(head + "{device}.{module}")}
	}
	return []string{wildcard(address)}
}

// covers reports whether all that matches the second pattern matches the first.
func covers(wide, narrow string) bool {
	w, n := strings.Split(wide, "."), strings.Split(narrow, ".")
	for i, token := range w {
		switch {
		case i >= len(n):
			return false
		case token == ">":
			return true
		case n[i] == ">" || token != "*" && token != n[i]:
			return false
		}
	}
	return len(w) == len(n)
}

// testServices compares what nats micro info shows with the document: names,
// subjects and schemas.
func (s *suite) testServices(t *testing.T) {
	said := map[string]*channel{} // by service and endpoint
	for _, c := range s.doc.channels {
		if c.service != "" {
			said[c.service+" "+c.endpoint] = c
		}
	}
	names := slices.Sorted(maps.Keys(child(s.doc.root, "x-services")))
	infos := s.services(t, len(names))
	if got := slices.Sorted(maps.Keys(infos)); !slices.Equal(got, names) {
		t.Errorf("the services are %q, and x-services has %q", got, names)
	}
	for name, info := range infos {
		if info.Description != text(child(child(s.doc.root, "x-services"), name), "description") {
			t.Errorf("%s: the description is %q", name, info.Description)
		}
		if info.Metadata[subject.HostNameKey] != s.hub.Ready.HostName {
			t.Errorf("%s: its metadata has no host name: %v", name, info.Metadata)
		}
		for _, e := range info.Endpoints {
			c := said[name+" "+e.Name]
			delete(said, name+" "+e.Name)
			s.compareEndpoint(t, name, e, c)
		}
	}
	for key := range said {
		t.Errorf("no service has the endpoint %q", key)
	}
}

func (s *suite) compareEndpoint(t *testing.T, service string, e micro.EndpointInfo, c *channel) {
	t.Helper()
	if c == nil {
		t.Errorf("%s: no channel has the endpoint %s on %s", service, e.Name, e.Subject)
		return
	}
	if wildcard(c.address) != e.Subject {
		t.Errorf("channel %s: the address is %s, and the service listens on %s", c.name, c.address, e.Subject)
	}
	requests, answers := s.doc.payloads(c)
	s.compareSchemas(t, c.name+" request", e.Metadata["request_schema"], requests)
	s.compareSchemas(t, c.name+" response", e.Metadata["response_schema"], answers)
}

// services asks all services for their endpoints.
func (s *suite) services(t *testing.T, n int) map[string]micro.Info {
	t.Helper()
	inbox := s.hub.NATS.NewInbox()
	sub, err := s.hub.NATS.SubscribeSync(inbox)
	if err == nil {
		err = s.hub.NATS.PublishRequest("$SRV.INFO", inbox, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	found := map[string]micro.Info{}
	// More than the document has would come at the same time: half a second
	// after the last one nobody else answers.
	for wait := hubtest.Patience; ; {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		m, err := sub.NextMsgWithContext(ctx)
		cancel()
		if err != nil {
			return found
		}
		var info micro.Info
		if err := json.Unmarshal(m.Data, &info); err != nil {
			t.Fatal(err)
		}
		found[info.Name] = info
		if len(found) >= n {
			wait = 500 * time.Millisecond
		}
	}
}

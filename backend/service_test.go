package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// registryOn serves the registry and returns a back-end app's connection.
func registryOn(t *testing.T) (*Backbone, *nats.Conn) {
	t.Helper()
	s := serve(t, "", 0)
	b := open(t, s, Config{HostName: "plant.example.net", Version: "1.2.3"})
	service, err := b.ServeRegistry(&identity.Registry{Store: b.Devices(), Events: b.Events()})
	if err != nil {
		t.Fatalf("ServeRegistry: %v", err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return b, nc
}

// ask sends a request as nats req would, with an If-Match header unless empty.
func ask(t *testing.T, nc *nats.Conn, subject, ifMatch, body string) (answer, code, text string) {
	t.Helper()
	m := nats.NewMsg(subject)
	m.Data = []byte(body)
	if ifMatch != "" {
		m.Header.Set("If-Match", ifMatch)
	}
	got, err := nc.RequestMsg(m, 20*time.Second)
	if err != nil {
		t.Fatalf("request %s: %v", subject, err)
	}
	return string(got.Data), got.Header.Get(micro.ErrorCodeHeader), got.Header.Get(micro.ErrorHeader)
}

func TestRegistryService(t *testing.T) {
	t.Parallel()
	_, nc := registryOn(t)
	steps := []struct {
		name, subject, ifMatch, body string
		code                         string   // of the error
		words                        []string // of the answer or the error
		not                          string   // in the answer
	}{
		{"create", "hub.registry.put.a=2Eb", "", `{"deviceId":"a.b","status":"enabled"}`, "", []string{`"deviceId":"a.b"`, `"primaryKey":"`}, ""},
		{"create again", "hub.registry.put.a=2Eb", "", "", "409001", []string{"a.b"}, ""},
		{"create with quoted empty etag", "hub.registry.put.a=2Eb", `""`, "", "409001", nil, ""},
		{"create without a body", "hub.registry.put.bare", "", "", "", []string{`"deviceId":"bare"`, `"primaryKey":"`}, ""},
		{"get", "hub.registry.get.a=2Eb", "", "", "", []string{`"deviceId":"a.b"`, `"primaryKey":null`}, ""},
		{"get with empty object", "hub.registry.get.a=2Eb", "", "{}", "", []string{`"primaryKey":null`}, ""},
		{"keys where there are none", "hub.registry.get.a=2Eb", "", `{"keys":true}`, "400004", []string{"hub.registry.keys.a=2Eb"}, ""},
		{"get with keys", "hub.registry.keys.a=2Eb", "", "", "", []string{`"primaryKey":"`}, "null,\"secondaryKey\":null"},
		{"get with unknown option", "hub.registry.get.a=2Eb", "", `{"key":true}`, "400004", []string{`"key"`}, ""},
		{"get with garbage", "hub.registry.get.a=2Eb", "", `{`, "400004", nil, ""},
		{"get with two objects", "hub.registry.get.a=2Eb", "", `{}{}`, "400004", nil, ""},
		{"get missing", "hub.registry.get.nobody", "", "", "404001", []string{"nobody"}, ""},
		{"get bad token", "hub.registry.get.a=b", "", "", "400004", nil, ""},
		{"get three tokens", "hub.registry.get.a.b.c", "", "", "400004", nil, ""},
		{"other id in the body", "hub.registry.put.c", "", `{"deviceId":"d"}`, "400004", []string{"c", "d"}, ""},
		{"other module in the body", "hub.registry.put.c.m", "", `{"deviceId":"c","moduleId":"n"}`, "400004", nil, ""},
		{"module of nobody", "hub.registry.put.nobody.m", "", "", "404001", nil, ""},
		{"module", "hub.registry.put.a=2Eb.m*", "", "", "400004", nil, ""},
		{"module", "hub.registry.put.a=2Eb.m=2A", "", "", "", []string{`"moduleId":"m*"`}, ""},
		{"update any", "hub.registry.put.a=2Eb", "*", `{"status":"disabled","statusReason":"x"}`, "", []string{`"status":"disabled"`, `"statusReason":"x"`}, ""},
		{"update stale", "hub.registry.put.a=2Eb", "MTIz", `{}`, "412001", nil, ""},
		{"update missing", "hub.registry.put.nobody", "*", `{}`, "404001", nil, ""},
		{"bad status", "hub.registry.put.a=2Eb", "*", `{"status":"off"}`, "400004", []string{"off"}, ""},
		{"list", "hub.registry.list", "", "", "", []string{`"a.b"`, `"bare"`, `"primaryKey":null`}, `"next"`},
		{"list one", "hub.registry.list", "", `{"top":1}`, "", []string{`"next":"a.b"`}, "bare"},
		{"list after", "hub.registry.list", "", `{"after":"a.b"}`, "", []string{`"bare"`}, `"a.b"`},
		{"list modules", "hub.registry.list.a=2Eb", "", "", "", []string{`"moduleId":"m*"`}, ""},
		{"list modules of nobody", "hub.registry.list.nobody", "", "", "404001", nil, ""},
		{"list modules of a module", "hub.registry.list.a=2Eb.m", "", "", "400004", nil, ""},
		{"list with unknown option", "hub.registry.list", "", `{"limit":1}`, "400004", nil, ""},
		{"delete stale", "hub.registry.delete.a=2Eb", "MTIz", "", "412001", nil, ""},
		{"delete", "hub.registry.delete.a=2Eb", "", "", "", []string{"{}"}, ""},
		{"module is gone too", "hub.registry.get.a=2Eb.m=2A", "", "", "404010", nil, ""},
		{"delete missing", "hub.registry.delete.a=2Eb", "*", "", "404001", nil, ""},
	}
	for _, s := range steps {
		answer, code, text := ask(t, nc, s.subject, s.ifMatch, s.body)
		if code != s.code || !hasAll(answer+text, s.words...) || s.not != "" && strings.Contains(answer, s.not) {
			t.Errorf("%s: answer %s, code %q, %q; want code %q, words %q, without %q", s.name, answer, code, text, s.code, s.words, s.not)
		}
		if code != "" && text == "" {
			t.Errorf("%s: code %s without a sentence", s.name, code)
		}
	}
}

func TestRegistryServiceShowsItself(t *testing.T) {
	t.Parallel()
	_, nc := registryOn(t)
	got, err := nc.Request("$SRV.INFO.hub-registry", nil, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(got.Data, &info); err != nil {
		t.Fatal(err)
	}
	if info.Name != "hub-registry" || info.Version != "1.2.3" || info.Metadata["hostName"] != "plant.example.net" {
		t.Errorf("info = %+v", info)
	}
	subjects := map[string]bool{}
	for _, e := range info.Endpoints {
		subjects[e.Subject] = true
		for _, key := range []string{"request_schema", "response_schema"} {
			if !json.Valid([]byte(e.Metadata[key])) {
				t.Errorf("%s has no %s: %q", e.Name, key, e.Metadata[key])
			}
		}
		if e.QueueGroup == "" {
			t.Errorf("%s has no queue group", e.Name)
		}
	}
	for _, want := range []string{"hub.registry.get.>", "hub.registry.put.>", "hub.registry.delete.>", "hub.registry.list", "hub.registry.list.>"} {
		if !subjects[want] {
			t.Errorf("no endpoint has the subject %s: %v", want, subjects)
		}
	}
}

func TestLongListsAreCut(t *testing.T) {
	t.Parallel()
	b, nc := registryOn(t)
	reason := strings.Repeat("r", 128)
	for i := range 60 {
		id := hub.Identity{Device: fmt.Sprintf("d%03d", i)}
		r := identity.Record{ID: id, Status: identity.StatusEnabled, StatusReason: reason}
		if _, err := b.Devices().Create(testContext(t), r); err != nil {
			t.Fatal(err)
		}
	}
	s := &RegistryService{maxReply: 5000}
	records, err := b.Devices().List(testContext(t), identity.Query{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.page(records, 1000)
	if err != nil || len(p.Items) == 0 || len(p.Items) >= 60 || p.Next != fmt.Sprintf("d%03d", len(p.Items)-1) {
		t.Errorf("page has %d items, next %q, %v", len(p.Items), p.Next, err)
	}
	answer, _, _ := ask(t, nc, "hub.registry.list", "", "")
	if n := strings.Count(answer, `"deviceId"`); n != 60 {
		t.Errorf("%d devices listed, want 60", n)
	}
}

// An answer that can't be sent is told of: who has asked would wait for nothing.
func TestAnswersThatDoNotFit(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	long := strings.Repeat("x", int(b.nc.MaxPayload()))
	service, err := b.service(micro.Config{Name: "large"}, []endpoint{
		{name: "raw", subject: "large.raw", handle: func(context.Context, request) (any, error) { return raw(long + "x"), nil }},
		{name: "json", subject: "large.json", handle: func(context.Context, request) (any, error) { return long, nil }},
		{name: "none", subject: "large.none", handle: func(context.Context, request) (any, error) { return math.NaN(), nil }},
	}, b.responder("large").handler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	for to, want := range map[string]string{"large.raw": "413001", "large.json": "413001", "large.none": "500001"} {
		if _, code, text := ask(t, b.nc, to, "", ""); code != want || text == "" {
			t.Errorf("%s: code %q, %q; want %s", to, code, text, want)
		}
	}
}

func TestLifecycleEvents(t *testing.T) {
	t.Parallel()
	b, nc := registryOn(t)
	ask(t, nc, "hub.registry.put.d", "", "")
	ask(t, nc, "hub.registry.put.d.m", "", "")
	ask(t, nc, "hub.registry.put.d", "", "") // refused: no event
	ask(t, nc, "hub.registry.delete.d.m", "", "")
	ask(t, nc, "hub.registry.delete.d", "", "")
	until(t, "four events are stored", func() bool { return b.Events().engine.Stored() == 4 })
	s, err := b.JetStream().Stream(testContext(t), "HUB_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"hub.events.lifecycle.d deviceLifecycleNotification createDeviceIdentity",
		"hub.events.lifecycle.d.m moduleLifecycleNotification createModuleIdentity",
		"hub.events.lifecycle.d.m moduleLifecycleNotification deleteModuleIdentity",
		"hub.events.lifecycle.d deviceLifecycleNotification deleteDeviceIdentity",
	}
	for i, w := range want {
		m, err := s.GetMsg(testContext(t), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		got := m.Subject + " " + m.Header.Get("iothub-message-schema") + " " + m.Header.Get("opType")
		if got != w || m.Header.Get("iothub-message-source") != "deviceLifecycleEvents" {
			t.Errorf("event %d = %q, want %q", i, got, w)
		}
	}
}

package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/session"
)

// rack is the devices that are connected to a node.
type rack struct {
	mu      sync.Mutex
	devices map[hub.Identity]methodFunc
}

type methodFunc func(ctx context.Context, c methods.Call) (methods.Answer, error)

func (r *rack) Invoke(ctx context.Context, c methods.Call) (methods.Answer, error) {
	r.mu.Lock()
	f := r.devices[c.ID]
	r.mu.Unlock()
	if f == nil {
		return methods.Answer{}, hub.Errorf(hub.DeviceNotOnline, "%s is not connected", c.ID)
	}
	return f(ctx, c)
}

func (r *rack) Ready(id hub.Identity, _ string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.devices[id] != nil
}

// methodNode is one node of a hub.
type methodNode struct {
	*Backbone
	name    string
	rack    *rack
	service *MethodService
}

func startNode(t *testing.T, s *embedded.Server, name string) *methodNode {
	t.Helper()
	n := &methodNode{Backbone: open(t, s, Config{}), name: name, rack: &rack{devices: map[hub.Identity]methodFunc{}}}
	n.start(t)
	return n
}

func (n *methodNode) start(t *testing.T) {
	t.Helper()
	var err error
	if n.service, err = n.ServeMethods(testContext(t), n.name, n.rack); err != nil {
		t.Fatalf("ServeMethods: %v", err)
	}
	t.Cleanup(func() { _ = n.service.Stop() })
}

// connect connects a device to the node, as a session and as somebody to call.
func (n *methodNode) connect(t *testing.T, id hub.Identity, f methodFunc) {
	t.Helper()
	if _, _, err := n.Sessions().Claim(testContext(t), session.Session{ID: id, Generation: "1", Connected: true, Node: n.name}); err != nil {
		t.Fatal(err)
	}
	n.rack.mu.Lock()
	n.rack.devices[id] = f
	n.rack.mu.Unlock()
	n.service.Callable(id)
}

// echoStatus answers with the payload, and the length of the method's name.
func echoStatus(_ context.Context, c methods.Call) (methods.Answer, error) {
	return methods.Answer{Status: len(c.Method), Payload: c.Payload}, nil
}

// askOn sends a request as nats req does.
func askOn(t *testing.T, b *Backbone, subject, body string, header ...string) *nats.Msg {
	t.Helper()
	m := &nats.Msg{Subject: subject, Data: []byte(body), Header: nats.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	reply, err := b.Conn().RequestMsgWithContext(testContext(t), m)
	if err != nil {
		t.Fatalf("request on %s: %v", subject, err)
	}
	return reply
}

func codeIn(m *nats.Msg) string { return m.Header.Get(micro.ErrorCodeHeader) }

func TestMethodRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := startNode(t, s, "a"), startNode(t, s, "b.node*")
	odd, module := hub.Identity{Device: "x.*'50%"}, hub.Identity{Device: "dev-1", Module: "$edgeHub"}
	for _, id := range []hub.Identity{device(1), odd, module} {
		create(t, a.Backbone, id)
	}
	a.connect(t, device(1), echoStatus)
	b.connect(t, odd, echoStatus)
	b.connect(t, module, echoStatus)
	names := a.Names()
	tests := map[string]struct{ subject, body, status, want string }{
		"empty":           {"hub.method.dev-1.reboot", "", "6", "null"},
		"null":            {"hub.method.dev-1.m", "null", "1", "null"},
		"number as sent":  {"hub.method.dev-1.m", "1.50E+400", "1", "1.50E+400"},
		"string":          {"hub.method.dev-1.m", `"ä<&>"`, "1", `"ä<&>"`},
		"object as sent":  {"hub.method.dev-1.m", "{ \"a\" : 1,\n\"a\": 2 }", "1", "{ \"a\" : 1,\n\"a\": 2 }"},
		"array":           {"hub.method.dev-1.m", "[1,[]]", "1", "[1,[]]"},
		"name with a dot": {"hub.method.dev-1.fan=2Eset", "1", "7", "1"},
		"module":          {"hub.method.dev-1.=24edgeHub.ping", "1", "4", "1"},
		"odd id and name": {names.Method(odd, "a.*.>$"), "1", "6", "1"},
		"largest":         {"hub.method.dev-1.m", `"` + strings.Repeat("x", methods.MaxPayload-2) + `"`, "1", `"` + strings.Repeat("x", methods.MaxPayload-2) + `"`},
	}
	for name, tt := range tests {
		for range 4 { // by both nodes
			got := askOn(t, a.Backbone, tt.subject, tt.body)
			if codeIn(got) != "" || got.Header.Get("Hub-Status") != tt.status || string(got.Data) != tt.want {
				t.Errorf("%s: got %v and %.60q", name, got.Header, got.Data)
			}
		}
	}
}

func TestMethodRefusals(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := startNode(t, s, "a"), startNode(t, s, "b")
	for i := range 5 {
		create(t, a.Backbone, device(i))
	}
	a.connect(t, device(1), echoStatus)
	b.connect(t, device(2), func(_ context.Context, c methods.Call) (methods.Answer, error) {
		return methods.Answer{}, hub.Errorf(hub.ConnectionLost, "%s lost its\r\nconnection", c.ID)
	})
	b.connect(t, device(3), func(context.Context, methods.Call) (methods.Answer, error) {
		return methods.Answer{}, fmt.Errorf("a secret of the program")
	})
	dead := &methodNode{Backbone: a.Backbone, name: "dead", rack: &rack{devices: map[hub.Identity]methodFunc{}}, service: a.service}
	dead.connect(t, device(4), echoStatus)
	tests := map[string]struct {
		subject, body string
		header        []string
		code, text    string
	}{
		"no method":         {"hub.method.dev-1", "", nil, "400004", "hub.method.{device}[.{module}].{method}"},
		"too many tokens":   {"hub.method.dev-1.a.b.c", "", nil, "400004", ""},
		"bad escape":        {"hub.method.dev-1.a=zz", "", nil, "400004", ""},
		"name with a slash": {"hub.method.dev-1.a=2Fb", "", nil, "400004", "may not hold"},
		"not JSON":          {"hub.method.dev-1.m", "reboot", nil, "400004", "not JSON"},
		"too large":         {"hub.method.dev-1.m", `"` + strings.Repeat("x", methods.MaxPayload) + `"`, nil, "413001", "131072"},
		"unknown header":    {"hub.method.dev-1.m", "", []string{"Hub-Timeout", "5s"}, "400004", "Hub-Response-Timeout"},
		"timeout":           {"hub.method.dev-1.m", "", []string{"Hub-Response-Timeout", "1s"}, "400004", "5s to 5m0s"},
		"unknown device":    {"hub.method.nobody.m", "", nil, "404001", ""},
		"unknown module":    {"hub.method.dev-1.nobody.m", "", nil, "404010", ""},
		"away":              {"hub.method.dev-0.m", "", nil, "404103", "it was not waited for"},
		"lost":              {"hub.method.dev-2.m", "", nil, "404104", "lost its  connection"},
		"fault":             {"hub.method.dev-3.m", "", nil, "500001", "see its log"},
		"dead node":         {"hub.method.dev-4.m", "", nil, "404103", "the node dead, which is gone"},
		"connect and wait":  {"hub.method.dev-1.m", "", []string{"Hub-Wait", "1h", "Hub-Connect-Timeout", "5s"}, "400004", "no connect timeout"},
		"long wait":         {"hub.method.dev-1.m", "", []string{"Hub-Wait", "1000h"}, "400004", "720h"},
		"reply to the hub":  {"hub.method.dev-1.m", "", []string{"Hub-Wait", "1h", "Hub-Reply-To", "hub.telemetry.dev-1"}, "400004", "Hub-Reply-To"},
		"reply to NATS":     {"hub.method.dev-1.m", "", []string{"Hub-Wait", "1h", "Hub-Reply-To", "$KV.hub_devices.x"}, "400004", "Hub-Reply-To"},
		"reply to all":      {"hub.method.dev-1.m", "", []string{"Hub-Wait", "1h", "Hub-Reply-To", "app.>"}, "400004", "Hub-Reply-To"},
		"wait for nobody":   {"hub.method.nobody.m", "", []string{"Hub-Wait", "1h"}, "404001", ""},
	}
	for name, tt := range tests {
		got := askOn(t, a.Backbone, tt.subject, tt.body, tt.header...)
		text := got.Header.Get(micro.ErrorHeader)
		if codeIn(got) != tt.code || !strings.Contains(text, tt.text) || strings.Contains(text, "secret") || len(got.Data) > 0 {
			t.Errorf("%s: got %s %q and %q, want %s %q", name, codeIn(got), text, got.Data, tt.code, tt.text)
		}
	}
}

// The device connects to one node while the other one waits.
func TestMethodWaitsForConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := startNode(t, s, "a"), startNode(t, s, "b")
	create(t, a.Backbone, device(1))
	_ = b.service.micros[0].Stop() // a answers
	waiting, err := a.Conn().SubscribeSync("hub.method.dev-1.m")
	if err == nil {
		err = a.Conn().Flush() // b asks on a connection of its own
	}
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got := askOn(t, b.Backbone, "hub.method.dev-1.m", "7", "Hub-Connect-Timeout", "50")
			if codeIn(got) != "" || string(got.Data) != "7" {
				t.Errorf("got %v", got.Header)
			}
		})
	}
	for range 20 {
		if _, err := waiting.NextMsgWithContext(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "a to wait", func() bool { return a.service.room.inUse() == 20 })
	b.connect(t, device(1), echoStatus)
	wg.Wait()
	got := askOn(t, a.Backbone, "hub.method.dev-1.m", "", "Hub-Connect-Timeout", "1s")
	if codeIn(got) != "" {
		t.Errorf("connected: %v", got.Header)
	}
}

// Two hundred at once for one device on the other node, each its own answer,
// while others do not answer.
func TestManyMethodsAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := startNode(t, s, "a"), startNode(t, s, "b")
	create(t, a.Backbone, device(1))
	release := make(chan struct{})
	var seen sync.WaitGroup
	const n = 200
	seen.Add(n)
	b.connect(t, device(1), func(ctx context.Context, c methods.Call) (methods.Answer, error) {
		seen.Done()
		select {
		case <-release:
			return methods.Answer{Status: 200, Payload: c.Payload}, nil
		case <-ctx.Done():
			return methods.Answer{}, hub.Errorf(hub.GatewayTimeout, "no")
		}
	})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			got := askOn(t, a.Backbone, "hub.method.dev-1.m", strconv.Itoa(i))
			if string(got.Data) != strconv.Itoa(i) {
				t.Errorf("call %d got %q, %v", i, got.Data, got.Header)
			}
		})
	}
	seen.Wait() // all are in flight
	close(release)
	wg.Wait()
}

func TestMethodLimitOfANode(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := startNode(t, s, "a")
	create(t, a.Backbone, device(1))
	a.connect(t, device(1), echoStatus)
	a.service.room.mu.Lock()
	a.service.room.calls = 0
	a.service.room.mu.Unlock()
	if got := askOn(t, a.Backbone, "hub.method.dev-1.m", ""); codeIn(got) != "429001" {
		t.Errorf("got %v", got.Header)
	}
}

func TestMethodServicesAreDescribed(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := startNode(t, s, "a")
	for name, endpoints := range map[string][]string{
		"hub-method": {"hub.method.>"}, "hub-command": {"hub.command.list", "hub.command.list.>", "hub.command.cancel.>"},
	} {
		var info micro.Info
		if err := json.Unmarshal(askOn(t, a.Backbone, "$SRV.INFO."+name, "").Data, &info); err != nil {
			t.Fatal(err)
		}
		if len(info.Endpoints) != len(endpoints) {
			t.Fatalf("%s has the endpoints %+v", name, info.Endpoints)
		}
		for i, e := range info.Endpoints {
			if e.Subject != endpoints[i] || e.QueueGroup == "" {
				t.Errorf("got endpoint %+v, want %s", e, endpoints[i])
			}
			for _, key := range []string{"request_schema", "response_schema"} {
				if !json.Valid([]byte(e.Metadata[key])) {
					t.Errorf("%s of %s is %q", key, e.Subject, e.Metadata[key])
				}
			}
		}
	}
	if stats := string(askOn(t, a.Backbone, "$SRV.STATS.hub-method", "").Data); !strings.Contains(stats, `"in_flight":0`) {
		t.Errorf("got %s", stats)
	}
}

// Stop ends what waits and leaves nothing behind.
func TestMethodServiceStops(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := startNode(t, s, "a")
	create(t, a.Backbone, device(1))
	done := make(chan *nats.Msg, 1)
	go func() { done <- askOn(t, a.Backbone, "hub.method.dev-1.m", "", "Hub-Connect-Timeout", "300") }()
	until(t, "the call to wait", func() bool { return a.service.room.inUse() == 1 })
	start := time.Now()
	if err := a.service.Stop(); err != nil {
		t.Error(err)
	}
	if got := <-done; codeIn(got) != "503001" || time.Since(start) > 10*time.Second {
		t.Errorf("got %v after %v", got.Header, time.Since(start))
	}
}

// A call that breaks a rule is in the timeline of its device, if there is one.
func TestWrongCallsOfNobody(t *testing.T) {
	t.Parallel()
	a := startNode(t, serve(t, "", 0), "a")
	create(t, a.Backbone, device(1))
	for _, id := range []hub.Identity{device(2), {Device: "dev-1", Module: "none"}, device(1)} {
		if _, err := a.service.Invoke(testContext(t), methods.Call{ID: id, Method: "no name"}); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: %v", id, err)
		}
	}
	until(t, "the entry", func() bool {
		all, err := a.timeline.OfDevice(testContext(t), "dev-1")
		if len(all) > 0 && (len(all) > 1 || all[0].ID != device(1)) {
			t.Fatalf("dev-1 has %+v", all)
		}
		return err == nil && len(all) == 1
	})
	if all, err := a.timeline.OfDevice(testContext(t), "dev-2"); err != nil || len(all) > 0 {
		t.Errorf("a device that does not exist has %+v, %v", all, err)
	}
}

// A call that a face of the node cuts off because the node stops is told so in the
// timeline of its device: whoever has called would have waited.
func TestCallThatTheStopCutsOff(t *testing.T) {
	t.Parallel()
	a := startNode(t, serve(t, "", 0), "a")
	create(t, a.Backbone, device(1))
	ctx, cut := context.WithCancelCause(testContext(t))
	called := make(chan bool)
	a.connect(t, device(1), func(ctx context.Context, _ methods.Call) (methods.Answer, error) {
		close(called)
		<-ctx.Done()
		return methods.Answer{}, ctx.Err()
	})
	go func() {
		<-called
		cut(hub.Errorf(hub.ServiceUnavailable, "the node stops"))
	}()
	if _, err := a.service.Invoke(ctx, methods.Call{ID: device(1), Method: "m"}); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("the caller hears %v", err)
	}
	until(t, "the entry", func() bool {
		all, err := a.timeline.OfDevice(testContext(t), "dev-1")
		if len(all) > 0 && (all[0].Code != hub.ServiceUnavailable || !strings.Contains(all[0].Message, "the node stops")) {
			t.Fatalf("dev-1 has %+v", all)
		}
		return err == nil && len(all) == 1
	})
}

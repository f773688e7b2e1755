package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// resultsOf reads all results of commands that are stored, by command, until
// there are n.
func resultsOf(t *testing.T, b *Backbone, n int) map[string][]jetstream.Msg {
	t.Helper()
	ctx := testContext(t)
	c, err := b.JetStream().OrderedConsumer(ctx, b.Names().EventsStream(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"hub.events.command.>"}})
	if err != nil {
		t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	all := map[string][]jetstream.Msg{}
	for len(all) < n {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("%d of %d results: %v", len(all), n, err)
		}
		id := m.Headers().Get(methods.HeaderCommandID)
		all[id] = append(all[id], m)
	}
	return all
}

func receiptIn(t *testing.T, m *nats.Msg) receipt {
	t.Helper()
	var r receipt
	if err := json.Unmarshal(m.Data, &r); err != nil || codeIn(m) != "" {
		t.Fatalf("got %v and %q: %v", m.Header, m.Data, err)
	}
	return r
}

func outcomeOf(m nats.Header) string { return m.Get(methods.HeaderOutcome) }

// A command is stored by one node and made by another, after NATS and both
// nodes were started anew.
func TestCommandSurvives(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	a := startNode(t, s, "a")
	module := hub.Identity{Device: "dev-1", Module: "m.1"}
	create(t, a.Backbone, device(1))
	create(t, a.Backbone, module)
	r := receiptIn(t, askOn(t, a.Backbone, "hub.method.dev-1.m=2E1.reboot", "{ \"delay\": 5.0 }", "Hub-Wait", "2h", "Hub-Reply-To", "app.results"))
	if r.State != methods.Pending || r.DeviceID != "dev-1" || r.ModuleID != "m.1" || r.Method != "reboot" || r.Expires.Sub(r.Accepted) != 2*time.Hour {
		t.Errorf("got %+v", r)
	}
	_ = a.service.Stop()
	shut(a.Backbone)
	port := s.Port()
	halt(t, s)
	s = serve(t, dir, port)

	b := startNode(t, s, "b")
	told, err := b.Conn().SubscribeSync("app.results")
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan methods.Call, 10)
	b.connect(t, module, func(_ context.Context, c methods.Call) (methods.Answer, error) {
		calls <- c
		return methods.Answer{Status: 207, Payload: []byte(" ok ")}, nil
	})
	c := <-calls
	if c.ID != module || c.Method != "reboot" || string(c.Payload) != "{ \"delay\": 5.0 }" || c.ResponseTimeout != methods.DefaultResponseTimeout {
		t.Errorf("got the call %+v", c)
	}
	m, err := told.NextMsgWithContext(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	check := func(h nats.Header, body string) {
		t.Helper()
		for name, want := range map[string]string{
			"Hub-Command-Id": r.ID, "Hub-Command-Outcome": "answered", "Hub-Status": "207", "Hub-Method": "reboot",
			"Hub-Device": "dev-1", "Hub-Module": "m.1", "Nats-Service-Error-Code": "",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("header %s is %q, want %q", name, got, want)
			}
		}
		if body != " ok " {
			t.Errorf("got the body %q", body)
		}
	}
	check(m.Header, string(m.Data))
	stored := resultsOf(t, b.Backbone, 1)[r.ID]
	check(stored[0].Headers(), string(stored[0].Data()))
	if got := stored[0].Headers(); stored[0].Subject() != "hub.events.command.dev-1.m=2E1" || got.Get("opType") != "commandAnswered" || got.Get("iothub-message-source") != "commandEvents" {
		t.Errorf("the event on %s has %v", stored[0].Subject(), got)
	}
	until(t, "the command to go", func() bool {
		page, _, err := b.service.Queue.List(t.Context(), methods.Query{})
		return err == nil && len(page) == 0
	})
	if len(calls) > 0 {
		t.Error("the device was called again")
	}
}

func TestCommandListAndCancel(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := startNode(t, s, "a"), startNode(t, s, "b")
	create(t, a.Backbone, device(1))
	create(t, a.Backbone, device(2))
	var ids []string
	for i := range 3 {
		r := receiptIn(t, askOn(t, a.Backbone, fmt.Sprintf("hub.method.dev-%d.m", 1+i%2), "1", "Hub-Wait", "3600"))
		ids = append(ids, r.ID)
	}
	list := func(subject, body string) []string {
		t.Helper()
		var page struct {
			Items []receipt
			Next  string
		}
		m := askOn(t, a.Backbone, subject, body)
		if err := json.Unmarshal(m.Data, &page); err != nil {
			t.Fatalf("%v: %q", m.Header, m.Data)
		}
		got := []string{}
		for _, r := range page.Items {
			got = append(got, r.ID)
		}
		return append(got, page.Next)
	}
	for _, n := range []*methodNode{a, b} {
		until(t, n.name+" to know all", func() bool {
			page, _, err := n.service.Queue.List(t.Context(), methods.Query{})
			return err == nil && len(page) == 3
		})
	}
	tests := map[string]struct{ subject, body, want string }{
		"all":    {"hub.command.list", "", fmt.Sprint(append(ids[:3:3], ""))},
		"page":   {"hub.command.list", `{"top":2}`, fmt.Sprint([]string{ids[0], ids[1], ids[1]})},
		"next":   {"hub.command.list", `{"after":"` + ids[1] + `"}`, fmt.Sprint([]string{ids[2], ""})},
		"device": {"hub.command.list.dev-1", "", fmt.Sprint([]string{ids[0], ids[2], ""})},
		"none":   {"hub.command.list.dev-3", "", fmt.Sprint([]string{""})},
	}
	for name, tt := range tests {
		if got := fmt.Sprint(list(tt.subject, tt.body)); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
	if got := receiptIn(t, askOn(t, a.Backbone, "hub.command.cancel.dev-1", `{"id":"`+ids[0]+`"}`)); got.ID != ids[0] || got.State != methods.Finished {
		t.Errorf("got %+v", got)
	}
	if got := resultsOf(t, a.Backbone, 1)[ids[0]][0].Headers(); outcomeOf(got) != "cancelled" || got.Get("Nats-Service-Error-Code") != "412001" {
		t.Errorf("got %v", got)
	}
	for name, tt := range map[string]struct{ subject, body, code string }{
		"again":      {"hub.command.cancel.dev-1", `{"id":"` + ids[0] + `"}`, "404002"},
		"foreign":    {"hub.command.cancel.dev-1", `{"id":"` + ids[1] + `"}`, "404002"},
		"bad id":     {"hub.command.cancel.dev-1", `{"id":"a.b"}`, "400004"},
		"no id":      {"hub.command.cancel.dev-1", ``, "400004"},
		"other word": {"hub.command.cancel.dev-1", `{"ID2":1}`, "400004"},
	} {
		if got := askOn(t, a.Backbone, tt.subject, tt.body); codeIn(got) != tt.code {
			t.Errorf("%s: got %v", name, got.Header)
		}
	}
}

// A list of commands that is longer than a message of NATS comes page by page.
func TestLongListOfCommands(t *testing.T) {
	t.Parallel()
	const many = 800
	s := serve(t, "", 0)
	n := &methodNode{Backbone: open(t, s, Config{Commands: methods.Limits{Device: many}}), name: "a", rack: &rack{}}
	n.start(t)
	create(t, n.Backbone, device(1))
	o := methods.Order{Call: methods.Call{ID: device(1), Method: "m"}, Wait: time.Hour, ReplyTo: strings.Repeat("<", 255)}
	want := map[string]bool{}
	for range many {
		c, err := n.service.Queue.Submit(testContext(t), o)
		if err != nil {
			t.Fatal(err)
		}
		want[c.ID] = true
	}
	for body, pages := `{}`, 0; body != ""; pages++ {
		got := askOn(t, n.Backbone, "hub.command.list", body)
		var p struct {
			Items []receipt `json:"items"`
			Next  string    `json:"next"`
		}
		if err := json.Unmarshal(got.Data, &p); err != nil || codeIn(got) != "" || len(p.Items) == 0 {
			t.Fatalf("page %d: %v and %.80q: %v", pages, got.Header, got.Data, err)
		}
		for _, r := range p.Items {
			if !want[r.ID] {
				t.Errorf("%s is there twice, or was not asked for", r.ID)
			}
			delete(want, r.ID)
		}
		if body = ""; p.Next != "" {
			body = `{"after":"` + p.Next + `"}`
		}
	}
	if len(want) > 0 {
		t.Errorf("%d commands are not listed", len(want))
	}
}

// Four nodes believe to have the device, and NATS goes away in the middle: no
// call is made twice, and each has one kind of result.
func TestCommandsAreNeverMadeTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	var nodes []*methodNode
	for i := range 4 {
		nodes = append(nodes, startNode(t, s, fmt.Sprint("node", i)))
	}
	create(t, nodes[0].Backbone, device(1))
	const count = methods.MaxDeviceCommands
	for i := range count {
		receiptIn(t, askOn(t, nodes[0].Backbone, "hub.method.dev-1.m", fmt.Sprint(i), "Hub-Wait", "1h", "Hub-Response-Timeout", "5"))
	}
	var mu sync.Mutex
	made := map[string]int{}
	half := make(chan struct{})
	var total atomic.Int32
	f := func(_ context.Context, c methods.Call) (methods.Answer, error) {
		mu.Lock()
		made[string(c.Payload)]++
		mu.Unlock()
		if total.Add(1) == count/2 {
			close(half)
		}
		return methods.Answer{Status: 200, Payload: c.Payload}, nil
	}
	for _, n := range nodes {
		n.rack.mu.Lock()
		n.rack.devices[device(1)] = f
		n.rack.mu.Unlock()
		go n.service.Callable(device(1))
	}
	<-half
	port := s.Port()
	halt(t, s)
	serve(t, dir, port)
	until(t, "NATS to be back", func() bool { return nodes[0].Ready(testContext(t)) == nil })
	all := resultsOf(t, nodes[0].Backbone, count)
	mu.Lock()
	defer mu.Unlock()
	for payload, n := range made {
		if n != 1 {
			t.Errorf("call %s was made %d times", payload, n)
		}
	}
	for id, of := range all {
		for _, m := range of {
			if outcomeOf(m.Headers()) != outcomeOf(of[0].Headers()) {
				t.Errorf("command %s is %s and %s", id, outcomeOf(of[0].Headers()), outcomeOf(m.Headers()))
			}
			if outcomeOf(m.Headers()) == "answered" && made[string(m.Data())] != 1 {
				t.Errorf("command %s was answered with %s", id, m.Data())
			}
		}
	}
}

// What one node stores after NATS was away reaches the others soon.
func TestCommandsAfterAnOutage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	a, b := startNode(t, s, "a"), startNode(t, s, "b")
	create(t, a.Backbone, device(1))
	called := make(chan string, 10)
	b.connect(t, device(1), func(_ context.Context, c methods.Call) (methods.Answer, error) {
		called <- c.Method
		return methods.Answer{Status: 200}, nil
	})
	port := s.Port()
	halt(t, s)
	serve(t, dir, port)
	for _, n := range []*methodNode{a, b} {
		until(t, "NATS to be back", func() bool { return n.Ready(testContext(t)) == nil })
	}
	start := time.Now()
	receiptIn(t, askOn(t, a.Backbone, "hub.method.dev-1.later", "", "Hub-Wait", "1h"))
	if got := <-called; got != "later" || time.Since(start) > 10*time.Second {
		t.Errorf("called by %s after %v", got, time.Since(start))
	}
}

// A node dies while the device has the call. Nobody calls again; when the
// deadline is over, another node says that it does not know.
func TestCommandOfADeadNode(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := startNode(t, s, "a"), startNode(t, s, "b")
	create(t, a.Backbone, device(1))
	r := receiptIn(t, askOn(t, a.Backbone, "hub.method.dev-1.m", "1", "Hub-Wait", "1h", "Hub-Response-Timeout", "5"))
	called, hang := make(chan struct{}, 1), make(chan struct{})
	t.Cleanup(func() { close(hang) })
	b.connect(t, device(1), func(context.Context, methods.Call) (methods.Answer, error) {
		called <- struct{}{}
		<-hang
		return methods.Answer{}, hub.Errorf(hub.ConnectionLost, "dead")
	})
	<-called
	b.Conn().Close() // as if it were killed
	a.connect(t, device(1), func(context.Context, methods.Call) (methods.Answer, error) {
		t.Error("the device is called again")
		return methods.Answer{}, nil
	})
	got := resultsOf(t, a.Backbone, 1)[r.ID][0].Headers()
	if outcomeOf(got) != "unknown" || got.Get("Nats-Service-Error-Code") != "504101" || !strings.Contains(got.Get("Nats-Service-Error"), "may or may not") {
		t.Errorf("got %v", got)
	}
}

func TestCommandStore(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	ctx := testContext(t)
	bk, err := openBucket(ctx, b.JetStream(), b.Names().CommandBucket())
	if err != nil {
		t.Fatal(err)
	}
	store := &CommandStore{bk}
	w := &witness{stored: make(chan methods.Command, 10), removed: make(chan methods.Command, 10), loaded: make(chan struct{}, 1)}
	watching, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- store.Watch(watching, w) }()
	<-w.loaded

	c := methods.Command{For: hub.Identity{Device: "a.b", Module: "*"}, ID: "0a", State: methods.Pending, Method: "m", Payload: []byte(`"x"`)}
	if err := store.Create(ctx, &c); err != nil || c.Revision == 0 {
		t.Fatalf("Create: revision %d, %v", c.Revision, err)
	}
	if got := <-w.stored; got.For != c.For || got.ID != c.ID || got.Revision != c.Revision || string(got.Payload) != `"x"` {
		t.Errorf("watched %+v", got)
	}
	stale := c
	if err := store.Update(ctx, &c); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"Update": store.Update(ctx, &stale), "Remove": store.Remove(ctx, stale)} {
		if hub.CodeOf(err) != hub.PreconditionFailed {
			t.Errorf("stale %s: %v", name, err)
		}
	}
	if got, err := store.Get(ctx, c.For, c.ID); err != nil || got.Revision != c.Revision {
		t.Errorf("Get: %+v, %v", got, err)
	}
	if err := store.Remove(ctx, c); err != nil {
		t.Fatal(err)
	}
	if got := <-w.removed; got.For != c.For || got.ID != c.ID || got.Revision <= c.Revision {
		t.Errorf("watched the end of %+v", got)
	}
	if _, err := store.Get(ctx, c.For, c.ID); hub.CodeOf(err) != hub.JobNotFound {
		t.Errorf("Get: %v", err)
	}
	c.Payload = make([]byte, 300<<10)
	if err := store.Create(ctx, &c); hub.CodeOf(err) != hub.MessageTooLarge && hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("Create of a large one: %v", err)
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: %v", err)
	}
}

// What is in the bucket and is no command, ends no node: whoever may read a stream
// can have its messages put there.
func TestDamagedCommands(t *testing.T) {
	t.Parallel()
	n := &methodNode{Backbone: open(t, serve(t, "", 0), Config{}), name: "a", rack: &rack{}}
	bk, err := openBucket(testContext(t), n.JetStream(), n.Names().CommandBucket())
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"dev-1.00": `{"state":"finished"}`, "dev-1.01": `{"state":"finished","result":{}}`, "dev-1.02": `{"state":"finished","result":{"outcome":"x"}}`,
		"dev-1.03": `{"state":"x"}`, "dev-1.04": `[]`, "dev-1.05": `{"state":"finished","result":{"outcome":"expired"}}`,
	} {
		if _, err := bk.create(testContext(t), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	n.start(t)
	if all := resultsOf(t, n.Backbone, 1); len(all["05"]) != 1 {
		t.Errorf("results of %v", all)
	}
}

// steady is a store whose watch goes on whatever happens: nobody begins anew with a
// queue that knows nothing.
type steady struct{ *CommandStore }

func (s steady) Watch(ctx context.Context, told methods.Watcher) error {
	for ctx.Err() == nil {
		_ = s.CommandStore.Watch(ctx, told)
		wait(ctx, 10*time.Millisecond)
	}
	return nil
}

// A node that was cut off while a command went, and its marker too, does not go on
// listing it.
func TestCommandsGoWithTheirBucket(t *testing.T) {
	t.Parallel()
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s := serve(t, dir, 0)
	port := s.Port()
	shut(open(t, s, Config{})) // what is there before the command
	halt(t, s)
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir, port)
	b := open(t, s, Config{})
	create(t, b, device(1))
	bk, err := openBucket(testContext(t), b.JetStream(), b.Names().CommandBucket())
	if err != nil {
		t.Fatal(err)
	}
	q := &methods.Queue{Node: "a", Local: &rack{}, Devices: b.devices, Commands: steady{&CommandStore{bk}}}
	ctx, stop := context.WithCancel(testContext(t))
	var running sync.WaitGroup
	running.Go(func() { _ = q.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	c, err := q.Submit(ctx, methods.Order{Call: methods.Call{ID: device(1), Method: "m", Payload: []byte(`1`)}, Wait: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	listed := func() int {
		page, _, err := q.List(ctx, methods.Query{})
		if err != nil {
			t.Fatal(err)
		}
		return len(page)
	}
	if n := listed(); n != 1 {
		t.Fatalf("%d commands are listed, want %s", n, c.ID)
	}
	halt(t, s)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, port)
	until(t, "no command is listed", func() bool { return listed() == 0 })
}

type witness struct {
	stored, removed chan methods.Command
	loaded          chan struct{}
}

func (w *witness) Loading()                  {}
func (w *witness) Stored(c methods.Command)  { w.stored <- c }
func (w *witness) Removed(c methods.Command) { w.removed <- c }
func (w *witness) Loaded()                   { w.loaded <- struct{}{} }

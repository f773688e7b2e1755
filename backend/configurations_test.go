package backend

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/hub"
)

// anything is a query language in which everything is right.
type anything struct{}

func (anything) OfModules() bool { return false }
func (anything) Clause() string  { return "" }

func (anything) Condition(text string) (configuration.Condition, error) {
	if strings.Contains(text, "nonsense") {
		return nil, hub.Errorf(hub.ArgumentInvalid, "line 1, column 1: nonsense")
	}
	return anything{}, nil
}

func (anything) Check(string) error { return nil }

func (anything) Count(context.Context, string) (int, error) { return 3, nil }

// unwritten takes nothing.
type unwritten struct{ configuration.Twins }

func (unwritten) Check([]byte) error { return nil }

func newConfigurations(b *Backbone) *configuration.Service {
	return &configuration.Service{Store: b.Configurations(), Language: anything{}, Counter: anything{}, Twins: unwritten{}}
}

func TestConfigurationService(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	service, err := b.ServeConfigurations(newConfigurations(b))
	if err != nil {
		t.Fatalf("ServeConfigurations: %v", err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	const content = `"content":{"deviceContent":{"properties.desired.x":1}}`
	for _, s := range []struct {
		name, subject, ifMatch, body string
		code                         string   // of the error
		words                        []string // of the answer or the error
	}{
		{"list of none", "hub.configuration.list", "", "", "", []string{`{"items":[]}`}},
		{"put", "hub.configuration.put.a=21", "", `{"id":"a!",` + content + `,"targetCondition":"*"}`, "", []string{`"id":"a!"`, `"etag":"MQ=="`, `"results":{}`}},
		{"put again", "hub.configuration.put.a=21", "", `{` + content + `}`, "409401", []string{"already"}},
		{"update", "hub.configuration.put.a=21", "*", `{"priority":3}`, "", []string{`"etag":"Mg=="`, `"priority":3`, `"properties.desired.x":1`}},
		{"update by a stale etag", "hub.configuration.put.a=21", `"MQ=="`, `{}`, "412001", nil},
		{"put another id", "hub.configuration.put.b", "", `{"id":"c",` + content + `}`, "400004", []string{`"c"`}},
		{"put nothing", "hub.configuration.put.b", "", ``, "400005", nil},
		{"put garbage", "hub.configuration.put.b", "", `{`, "400004", nil},
		{"put a bad condition", "hub.configuration.put.b", "", `{` + content + `,"targetCondition":"nonsense"}`, "400401", []string{"line 1"}},
		{"put a bad id", "hub.configuration.put.B", "", `{` + content + `}`, "400004", nil},
		{"get", "hub.configuration.get.a=21", "", "", "", []string{`"appliedCount":3`}},
		{"get with an option", "hub.configuration.get.a=21", "", `{"x":1}`, "400004", nil},
		{"get missing", "hub.configuration.get.b", "", "", "404301", []string{`"b"`}},
		{"put one more", "hub.configuration.put.b", "", `{` + content + `}`, "", nil},
		{"list", "hub.configuration.list", "", "", "", []string{`{"items":[{"id":"a!"`, `{"id":"b"`}},
		{"list one", "hub.configuration.list", "", `{"top":1}`, "", []string{`{"items":[{"id":"a!"`, `"next":"a!"}`}},
		{"list the next", "hub.configuration.list", "", `{"after":"a!"}`, "", []string{`{"items":[{"id":"b"`}},
		{"delete stale", "hub.configuration.delete.b", "OTk=", "", "412001", nil},
		{"delete", "hub.configuration.delete.b", "", "", "", []string{"{}"}},
		{"delete again", "hub.configuration.delete.b", "*", "", "404301", nil},
		{"put it again", "hub.configuration.put.b", "", `{` + content + `}`, "", []string{`"etag":"MQ=="`}},
	} {
		answer, failed, text := ask(t, nc, s.subject, s.ifMatch, s.body)
		if failed != s.code || !hasAll(answer+text, s.words...) {
			t.Errorf("%s: answer %s, code %q, %q; want code %q, words %q", s.name, answer, failed, text, s.code, s.words)
		}
	}
}

// TestConfigurationsAreWatched: a node hears of all that there is, of changes,
// also after NATS was away, and of nothing that is damaged.
func TestConfigurationsAreWatched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	b := open(t, s, Config{})
	ctx, cancel := context.WithCancel(testContext(t))
	var mu sync.Mutex
	now, told := "", 0
	watch := sync.WaitGroup{}
	watch.Go(func() {
		b.Configurations().Watch(ctx, func(all []configuration.Configuration) {
			mu.Lock()
			defer mu.Unlock()
			told++
			now = ""
			for _, c := range all {
				now += c.ID + " "
			}
		})
	})
	is := func(want string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return told > 0 && now == want
		}
	}
	until(t, "it hears of none", is(""))
	service := newConfigurations(b)
	put := func(id string) {
		t.Helper()
		c, err := configuration.Parse(id, []byte(`{"content":{"deviceContent":{}}}`))
		if err == nil {
			_, err = service.Put(ctx, c, "")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	until(t, "it hears of one", is("one "))
	kv := b.Configurations().bucket.kv
	for key, value := range map[string]string{"bad": "garbage", "stolen": `{"id":"one","content":{"deviceContent":{}}}`, "empty": `{"id":"empty"}`} {
		if _, err := kv.Put(ctx, key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := b.Configurations().List(ctx); err != nil || len(all) != 1 {
		t.Errorf("List: %+v, %v", all, err)
	}
	port := s.Port()
	halt(t, s)
	serve(t, dir, port)
	until(t, "NATS is back", func() bool { return b.nc.IsConnected() })
	until(t, "a write is possible again", func() bool {
		_, err := b.Configurations().List(ctx)
		return err == nil
	})
	if err := service.Delete(ctx, "one", ""); err != nil {
		t.Fatal(err)
	}
	until(t, "it hears of none again", is(""))
	cancel()
	watch.Wait()
}

// TestLease: one node has it, another takes it when that one stops cleanly, and
// later when it just disappears.
func TestLease(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	type holder struct {
		*Lease

		got  chan struct{}
		stop func()
	}
	begin := func(name string) *holder {
		h := &holder{Lease: newLease(open(t, s, Config{Node: name}).Configurations().bucket, "node.lease", name, zerolog.Nop()), got: make(chan struct{}, 10)}
		h.beat, h.term = 500*time.Millisecond, 6*time.Second
		ctx, cancel := context.WithCancel(testContext(t))
		var wg sync.WaitGroup
		wg.Go(func() { h.Run(ctx, func() { h.got <- struct{}{} }) })
		h.stop = func() {
			cancel()
			wg.Wait()
		}
		t.Cleanup(h.stop)
		return h
	}
	a := begin("a")
	<-a.got
	b, c := begin("b"), begin("c")
	for range 13 { // longer than the term
		if !a.Held() || b.Held() || c.Held() {
			t.Fatalf("held by a %t, b %t, c %t", a.Held(), b.Held(), c.Held())
		}
		wait(testContext(t), a.beat)
	}
	a.stop()
	if a.Held() {
		t.Error("a has stopped, and holds it")
	}
	until(t, "another one has it", func() bool { return b.Held() || c.Held() })
	first, second := b, c
	if c.Held() {
		first, second = c, b
	}
	if second.Held() {
		t.Error("two have it")
	}
	begun := time.Now()
	first.bucket.js.Conn().Close() // it writes no more, and gives nothing back
	until(t, "the third one has it", second.Held)
	if d := time.Since(begun); d < second.term-second.beat {
		t.Errorf("it was taken after %v", d)
	}
}

// TestLeaseThatLapses: who had no lease for a while has missed what there was to
// do, also when nobody else has taken it, and is told as at the first time.
func TestLeaseThatLapses(t *testing.T) {
	t.Parallel()
	l := newLease(open(t, serve(t, "", 0), Config{}).Configurations().bucket, "node.lease", "a", zerolog.Nop())
	l.beat = 500 * time.Millisecond
	l.term = l.beat // over as soon as it is written
	ctx, cancel := context.WithCancel(testContext(t))
	got := make(chan struct{}, 1000)
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx, func() { got <- struct{}{} }) })
	defer wg.Wait()
	defer cancel()
	for range 3 {
		select {
		case <-got:
		case <-ctx.Done():
			t.Fatal("nobody is told that the lease is there again")
		}
	}
}

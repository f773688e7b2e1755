package backend

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/query"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// names are the keys of all devices as a query has them, in order.
func names(tb testing.TB, b *Backbone) string {
	tb.Helper()
	var all []string
	q, err := query.Parse("SELECT deviceId FROM devices")
	if err == nil {
		err = b.Fleet().Each(testContext(tb), q, func(id hub.Identity) bool {
			all = append(all, id.Device)
			return true
		})
	}
	if err != nil {
		return err.Error()
	}
	return strings.Join(all, " ")
}

// TestFleetSurvivesARestart: while NATS is away queries have what was there, and
// afterwards what is written by this node and by another one.
func TestFleetSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	port := s.Port()
	b := open(t, s, Config{})
	r := create(t, b, device(1))
	create(t, b, device(2))
	if got := names(t, b); got != "dev-1 dev-2" {
		t.Fatalf("at first there is %q", got)
	}
	halt(t, s)
	until(t, "the connection is lost", func() bool { return !b.Fleet().nc.IsConnected() })
	if got := names(t, b); got != "dev-1 dev-2" {
		t.Errorf("while NATS is away there is %q", got)
	}
	s = serve(t, dir, port)
	other := open(t, s, Config{})
	create(t, other, device(3))
	if err := other.Devices().Delete(testContext(t), r); err != nil {
		t.Fatal(err)
	}
	until(t, "what another node has written is seen", func() bool { return names(t, b) == "dev-2 dev-3" })
	if got := names(t, other); got != "dev-2 dev-3" {
		t.Errorf("the other node has %q", got)
	}
	until(t, "connected again", b.Conn().IsConnected)
	create(t, b, device(4))
	if got := names(t, b); got != "dev-2 dev-3 dev-4" {
		t.Errorf("after a write there is %q", got)
	}
}

// TestFleetFollowsABackup: a bucket that goes back to an earlier revision is
// read anew, and what is not in it any more is gone.
func TestFleetFollowsABackup(t *testing.T) {
	t.Parallel()
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s := serve(t, dir, 0)
	port := s.Port()
	b := open(t, s, Config{})
	create(t, b, device(1))
	mustUpdate(t, b, device(1), twin.Write{Body: []byte(`{"tags":{"a":"old"}}`)})
	halt(t, s)
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir, port)
	until(t, "connected again", b.Conn().IsConnected)
	until(t, "the index is there", func() bool { return names(t, b) == "dev-1" })
	create(t, b, device(2))
	mustUpdate(t, b, device(1), twin.Write{Body: []byte(`{"tags":{"a":"new"}}`)})
	if _, _, err := b.Sessions().Claim(testContext(t), session.Session{ID: device(1), Generation: "1", Connected: true}); err != nil {
		t.Fatal(err)
	}
	row := everything(testContext(t), t, b.Fleet())["dev-1"]
	if got := names(t, b); got != "dev-1 dev-2" || !hasAll(row, `"a":"new"`, `"Connected"`) {
		t.Fatalf("before the backup is put back there is %q, %s", got, row)
	}
	halt(t, s)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, port)
	until(t, "the backup is seen", func() bool { return names(t, b) == "dev-1" })
	until(t, "all of the backup is seen", func() bool {
		r, err := b.Fleet().Query(testContext(t), "SELECT tags, connectionState FROM devices", query.Page{})
		return err == nil && len(r.Rows) == 1 && hasAll(string(r.Rows[0]), `"a":"old"`, `"Disconnected"`)
	})
	if got, err := b.Fleet().Statistics(testContext(t)); err != nil || got != (identity.Statistics{Devices: 1, Enabled: 1}) {
		t.Errorf("Statistics = %+v, %v", got, err)
	}
}

// TestFleetFollowsANewBucket: one that is removed and made anew is another one,
// whatever its revisions are.
func TestFleetFollowsANewBucket(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	create(t, b, device(1))
	if got := names(t, b); got != "dev-1" {
		t.Fatalf("at first there is %q", got)
	}
	name := "KV_" + b.names.DeviceBucket()
	info, err := b.js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.js.DeleteStream(ctx, name); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.CreateStream(ctx, info.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	create(t, b, device(2))
	create(t, b, device(3))
	until(t, "the new bucket is seen", func() bool { return names(t, b) == "dev-2 dev-3" })
}

// TestFleetUnderLoad writes from many goroutines while others ask.
func TestFleetUnderLoad(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx, twins, registry := testContext(t), twinsOf(b), &identity.Registry{Store: b.Devices()}
	var wg sync.WaitGroup
	told, stop := context.WithCancel(ctx)
	var mu sync.Mutex
	heard := map[hub.Identity]int{}
	wg.Go(func() {
		_ = b.Fleet().Changes(told, func(id hub.Identity) {
			mu.Lock()
			defer mu.Unlock()
			heard[id]++
		})
	})
	until(t, "somebody listens", func() bool {
		b.Fleet().watches.mu.Lock()
		defer b.Fleet().watches.mu.Unlock()
		return len(b.Fleet().watches.listeners) == 1
	})
	const workers, rounds = 8, 25
	var writers sync.WaitGroup
	for w := range workers {
		writers.Go(func() {
			id := device(w)
			for i := range rounds {
				_, err := registry.Create(ctx, identity.Record{ID: id})
				if err == nil {
					_, err = twins.Update(ctx, id, desired(`{"n":%d}`, i))
				}
				if err != nil {
					t.Errorf("%s: %v", id, err)
				}
				r, err := b.Fleet().Query(ctx, "SELECT properties.desired.n AS n FROM devices WHERE deviceId = '"+id.Device+"'", query.Page{})
				if err != nil || len(r.Rows) != 1 || string(r.Rows[0]) != fmt.Sprintf(`{"n":%d}`, i) {
					t.Errorf("%s: row %s of round %d, %v", id, r.Rows, i, err)
				}
				if i < rounds-1 {
					_ = registry.Delete(ctx, id, "*")
				}
			}
		})
	}
	writers.Wait()
	until(t, "everybody is told of", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(heard) == workers
	})
	stop()
	wg.Wait()
}

// TestFleetConfigurations: the index shows what it is told, until the identity is
// gone.
func TestFleetConfigurations(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx, id := testContext(t), device(1)
	create(t, b, id)
	row := func() string { return everything(ctx, t, b.Fleet())["dev-1"] }
	if got := row(); strings.Contains(got, "configurations") {
		t.Errorf("before it is targeted: %s", got)
	}
	heard := make(chan hub.Identity, 10)
	begun := make(chan struct{})
	go func() { _ = b.Fleet().ChangesFrom(ctx, func() { close(begun) }, func(id hub.Identity) { heard <- id }) }()
	<-begun
	one := []twin.ConfigurationStatus{{ID: "c", Status: "Applied"}}
	b.Fleet().ShowConfigurations(id, one)
	if got := <-heard; got != id {
		t.Errorf("told of %s", got)
	}
	b.Fleet().ShowConfigurations(id, one)
	b.Fleet().ShowConfigurations(device(2), one)
	mustUpdate(t, b, id, twin.Write{Body: []byte(`{"tags":{"in":true}}`)})
	v, err := b.Fleet().View(ctx, id)
	if got := row(); err != nil || !hasAll(got, `"configurations":{"c":{"status":"Applied"}}`) || got != string(v.AppendJSON(nil)) {
		t.Errorf("targeted: %s, want %s, %v", got, v.AppendJSON(nil), err)
	}
	if doc, ok := b.Fleet().Document(id); !ok || string(doc) != row() {
		t.Errorf("its document is %s, %t", doc, ok)
	}
	if got := <-heard; got != id {
		t.Errorf("told of %s", got)
	}
	select {
	case got := <-heard:
		t.Errorf("told of %s, and nothing has changed", got)
	default:
	}
	registry := &identity.Registry{Store: b.Devices()}
	if err := registry.Delete(ctx, id, "*"); err != nil {
		t.Fatal(err)
	}
	create(t, b, id)
	if got := row(); strings.Contains(got, "configurations") {
		t.Errorf("made again: %s", got)
	}
	b.Fleet().ShowConfigurations(id, one)
	b.Fleet().ShowConfigurations(id, nil)
	if got := row(); strings.Contains(got, "configurations") {
		t.Errorf("no longer: %s", got)
	}
}

// TestFleetWhileLoading: a query waits, and then says why it has no answer.
func TestFleetWhileLoading(t *testing.T) {
	t.Parallel()
	f := &Fleet{catalog: newCatalog(), jobs: newJobRows(), queues: &queueCounts{}}
	for i := range f.feeds {
		f.feeds[i] = &feed{bucket: &bucket{name: "b"}}
	}
	ctx, cancel := context.WithTimeout(testContext(t), 10*time.Millisecond)
	defer cancel()
	if _, err := f.Query(ctx, "SELECT * FROM devices", query.Page{}); hub.CodeOf(err) != hub.ServiceUnavailable || !strings.Contains(err.Error(), "still reading") {
		t.Errorf("while it loads: %v", err)
	}
	for _, feed := range f.feeds {
		feed.advance(0, 1, true)
		feed.bucket.wrote(7)
	}
	ctx, cancel = context.WithTimeout(testContext(t), 10*time.Millisecond)
	defer cancel()
	if _, err := f.Query(ctx, "SELECT deviceId FROM devices", query.Page{}); hub.CodeOf(err) != hub.ServiceUnavailable || !strings.Contains(err.Error(), "has not heard") {
		t.Errorf("before a write is seen: %v", err)
	}
	go func() {
		for _, feed := range f.feeds {
			feed.advance(7, 8, false)
		}
	}()
	if _, err := f.Query(testContext(t), "SELECT deviceId FROM devices", query.Page{}); err != nil {
		t.Errorf("after it: %v", err)
	}
	if _, err := f.Query(testContext(t), "SELECT * FROM devices.jobs", query.Page{}); err != nil {
		t.Errorf("jobs: %v", err)
	}
}

// TestWatchesAreBounded, and end when nobody listens or acknowledges any more.
func TestWatchesAreBounded(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	service, err := b.ServeQueries()
	if err != nil {
		t.Fatal(err)
	}
	service.beat, service.patience = 20*time.Millisecond, 100*time.Millisecond
	t.Cleanup(func() { _ = service.Stop() })
	count := func() int {
		service.mu.Lock()
		defer service.mu.Unlock()
		return len(service.watching)
	}
	inbox := b.nc.NewInbox()
	sub := must(b.nc.SubscribeSync(inbox))
	request := func(reply, body string) {
		t.Helper()
		if err := b.nc.PublishRequest(b.names.QueryWatch(), reply, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	code := func(sub *nats.Subscription) string {
		t.Helper()
		for {
			m, err := sub.NextMsgWithContext(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if c := m.Header.Get("Nats-Service-Error-Code"); c != "" {
				return c
			}
		}
	}
	const all = `{"query":"SELECT * FROM devices"}`
	for range maxWatches + 1 {
		request(inbox, all)
	}
	if got := code(sub); got != "429001" {
		t.Errorf("one too many is refused with %s", got)
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	until(t, "nobody listens, and all watches end", func() bool { return count() == 0 })

	sub = must(b.nc.SubscribeSync(inbox))
	request(inbox, `{"query":"SELECT * FROM devices","acknowledge":true}`)
	if got := code(sub); got != "503001" {
		t.Errorf("without acknowledgements it ends with %s", got)
	}
	bad := must(b.nc.SubscribeSync("hub.session.x"))
	request("hub.session.x", all)
	if got := code(bad); got != "400004" {
		t.Errorf("no inbox is refused with %s", got)
	}
	request(inbox, `{"query":"SELECT"}`)
	if got := code(sub); got != "400004" {
		t.Errorf("a bad query is refused with %s", got)
	}
}

// TestFeedTellsAgain: a key that was told is told again after a gap or an error,
// and every revision only once otherwise.
func TestFeedGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	create(t, b, device(1))
	f := b.Fleet().feeds[deviceFeed]
	until(t, "it is told", func() bool { return names(t, b) == "dev-1" })
	s, err := b.js.Stream(ctx, "KV_"+b.names.DeviceBucket())
	if err != nil {
		t.Fatal(err)
	}
	for c := range s.ConsumerNames(ctx).Name() { // the server forgets its consumers
		if err := s.DeleteConsumer(ctx, c); err != nil && !strings.Contains(err.Error(), jetstream.ErrConsumerNotFound.Error()) {
			t.Log(err)
		}
	}
	create(t, b, device(2))
	until(t, "it goes on", func() bool { return names(t, b) == "dev-1 dev-2" })
	if got := f.position(); got != 2 {
		t.Errorf("the position is %d", got)
	}
}

// TestFleetFollowsAnEmptiedBucket: an operator who purges a bucket leaves no markers of
// what was in it.
func TestFleetFollowsAnEmptiedBucket(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	create(t, b, device(1))
	create(t, b, device(2))
	if got := names(t, b); got != "dev-1 dev-2" {
		t.Fatalf("at first there is %q", got)
	}
	s, err := b.js.Stream(ctx, "KV_"+b.names.DeviceBucket())
	if err == nil {
		err = s.Purge(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, "nothing is left", func() bool { return names(t, b) == "" })
	create(t, b, device(3))
	if got := names(t, b); got != "dev-3" {
		t.Errorf("after a write there is %q", got)
	}
}

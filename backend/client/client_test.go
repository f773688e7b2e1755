package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/telemetry"
)

func testContext(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	tb.Cleanup(cancel)
	return ctx
}

// runHub runs a hub.
func runHub(t *testing.T) (*embedded.Server, *backend.Backbone) {
	t.Helper()
	ctx := testContext(t)
	s, err := embedded.Start(ctx, embedded.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown() })
	b, err := backend.Connect(ctx, backend.Config{URL: s.URL(), CredsFile: s.GatewayCreds(), HostName: "plant.example.net"}, s.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(ctx) })
	return s, b
}

// hubAndClient runs a hub with its registry and connects a client.
func hubAndClient(t *testing.T) (*backend.Backbone, *client.Client) {
	t.Helper()
	s, b := runHub(t)
	if _, err := b.ServeRegistry(&identity.Registry{Store: b.Devices()}); err != nil {
		t.Fatal(err)
	}
	c, err := client.Connect(client.Options{URL: s.URL(), CredsFile: s.HubCreds()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return b, c
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	_, c := hubAndClient(t)
	ctx, r := testContext(t), c.Registry()
	id := hub.Identity{Device: "a.b*"}
	made, err := r.Create(ctx, identity.Record{ID: id})
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	if made.ID != id || made.Authentication.SymmetricKey.PrimaryKey == "" || made.Status != identity.StatusEnabled {
		t.Errorf("created %+v", made)
	}
	if _, err := r.Create(ctx, identity.Record{ID: id}); hub.CodeOf(err) != hub.DeviceAlreadyExists {
		t.Errorf("Create again = %v", err)
	}
	got, err := r.GetWithKeys(ctx, id)
	if err != nil {
		t.Fatalf("GetWithKeys: %v", err)
	}
	if diff := cmp.Diff(made, got); diff != "" {
		t.Errorf("(-created +got):\n%s", diff)
	}
	if got, err := r.Get(ctx, id); err != nil || got.Authentication.SymmetricKey != (identity.SymmetricKey{}) {
		t.Errorf("Get = %+v, %v, want no keys", got, err)
	}
	off, err := r.SetStatus(ctx, "a.b*", identity.StatusDisabled, "stolen")
	if err != nil || off.Status != identity.StatusDisabled || off.StatusReason != "stolen" || off.Authentication != made.Authentication {
		t.Errorf("SetStatus = %+v, %v", off, err)
	}
	fresh, err := r.NewKeys(ctx, id)
	if err != nil || fresh.Authentication.SymmetricKey.PrimaryKey == made.Authentication.SymmetricKey.PrimaryKey || fresh.Status != identity.StatusDisabled {
		t.Errorf("NewKeys = %+v, %v", fresh, err)
	}
	if _, err := r.Update(ctx, made, made.ETag); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("Update with an old etag = %v", err)
	}
	if _, err := r.Update(ctx, made, ""); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("Update without etag = %v, want no creation", err)
	}
	if _, err := r.Update(ctx, made, client.Any); err != nil {
		t.Errorf("Update: %v", err)
	}
	if err := r.Delete(ctx, id, client.Any); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if _, err := r.Get(ctx, id); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("Get after Delete = %v", err)
	}
	for _, bad := range []hub.Identity{{}, {Device: "a b"}, {Device: "d", Module: "m>"}} {
		if _, err := r.Get(ctx, bad); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("Get %q = %v, want ArgumentInvalid", bad, err)
		}
	}
}

func TestStatusChangesAtOnceAllHappen(t *testing.T) {
	t.Parallel()
	_, c := hubAndClient(t)
	ctx, r := testContext(t), c.Registry()
	if _, err := r.Create(ctx, identity.Record{ID: hub.Identity{Device: "d"}}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if _, err := r.SetStatus(ctx, "d", identity.StatusEnabled, strconv.Itoa(i)); err != nil {
				t.Errorf("SetStatus: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestListPages(t *testing.T) {
	t.Parallel()
	_, c := hubAndClient(t)
	ctx, r := testContext(t), c.Registry()
	var want []string
	for i := range 25 {
		id := fmt.Sprintf("d%02d", i)
		want = append(want, id)
		if _, err := r.Create(ctx, identity.Record{ID: hub.Identity{Device: id}}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for record, err := range r.All(ctx, identity.Query{Limit: 10}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, record.ID.Device)
	}
	if !slices.Equal(got, want) {
		t.Errorf("All = %q", got)
	}
	page, next, err := r.List(ctx, identity.Query{Limit: 10, After: "d04"})
	if err != nil || len(page) != 10 || page[0].ID.Device != "d05" || next != "d14" {
		t.Errorf("List = %d from %v, next %q, %v", len(page), page[0].ID, next, err)
	}
	for _, err := range r.All(ctx, identity.Query{Device: "nobody"}) {
		if hub.CodeOf(err) != hub.DeviceNotFound {
			t.Errorf("All modules of nobody = %v", err)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	s, err := embedded.Start(testContext(t), embedded.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown() })
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c, err := client.New(nc, client.Options{Prefix: "plant"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Registry().Get(testContext(t), hub.Identity{Device: "d"})
	if hub.CodeOf(err) != hub.ServiceUnavailable || !strings.Contains(err.Error(), "plant.registry.get.d") {
		t.Errorf("Get = %v", err)
	}
	if _, err = c.Policy(testContext(t), "device"); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("Policy = %v", err)
	}
	if err := c.Consume(testContext(t), client.TelemetryOptions{}, nil); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("Consume = %v", err)
	}
	if _, err := c.HostName(testContext(t)); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("HostName = %v", err)
	}
	c.Close()
	if nc.IsClosed() {
		t.Error("Close has closed a connection that is not the client's")
	}
	if _, err := client.New(nc, client.Options{Prefix: "a b"}); err == nil {
		t.Error("New took a bad prefix")
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	got, err := c.Policy(testContext(t), "iothubowner")
	want, _ := b.Policies().Lookup("iothubowner")
	if err != nil || got != want {
		t.Errorf("Policy = %v, %v", got.Name, err)
	}
	for _, name := range []string{"nobody", "", "a>b"} {
		if _, err := c.Policy(testContext(t), name); hub.CodeOf(err) != hub.NotFound {
			t.Errorf("Policy %q = %v, want NotFound", name, err)
		}
	}
	if name, err := c.HostName(testContext(t)); err != nil || name != "plant.example.net" {
		t.Errorf("HostName = %q, %v", name, err)
	}
}

// receipts counts stored messages.
type receipts struct {
	t  *testing.T
	wg sync.WaitGroup
}

func (r *receipts) Stored(_ uint64, err error) {
	if err != nil {
		r.t.Errorf("store: %v", err)
	}
	r.wg.Done()
}

// send stores n messages, their number as the body, and waits for them.
func send(t *testing.T, b *backend.Backbone, id hub.Identity, n int) {
	t.Helper()
	r := &receipts{t: t}
	r.wg.Add(n)
	for i := range n {
		m := &telemetry.Message{From: id, Body: []byte(strconv.Itoa(i)), Source: telemetry.SourceTelemetry, Enqueued: time.Now()}
		m.System[telemetry.MessageID] = []byte("m" + strconv.Itoa(i))
		m.AddProperty("weiß nicht", "ü=1")
		b.Telemetry().Store(m, r, uint64(i))
	}
	r.wg.Wait()
}

// take consumes n messages.
func take(t *testing.T, c *client.Client, o client.TelemetryOptions, n int) []client.Event {
	t.Helper()
	var got []client.Event
	err := c.Consume(testContext(t), o, func(e client.Event) error {
		got = append(got, e)
		if len(got) == n {
			return client.ErrStop
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Consume: %v", err)
	}
	return got
}

func bodies(events []client.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.From.String()+":"+string(e.Body))
	}
	return strings.Join(all, " ")
}

func TestConsume(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	module := hub.Identity{Device: "a.b", Module: "m"}
	send(t, b, hub.Identity{Device: "a.b"}, 2)
	send(t, b, module, 2)
	send(t, b, hub.Identity{Device: "a"}, 2)
	tests := map[string]struct {
		o    client.TelemetryOptions
		want string
	}{
		"all":          {client.TelemetryOptions{FromStart: true}, "a.b:0 a.b:1 a.b/m:0 a.b/m:1 a:0 a:1"},
		"since":        {client.TelemetryOptions{Since: time.Now().Add(-time.Hour)}, "a.b:0 a.b:1 a.b/m:0 a.b/m:1 a:0 a:1"},
		"device":       {client.TelemetryOptions{FromStart: true, Of: hub.Identity{Device: "a.b"}}, "a.b:0 a.b:1 a.b/m:0 a.b/m:1"},
		"other device": {client.TelemetryOptions{FromStart: true, Of: hub.Identity{Device: "a"}}, "a:0 a:1"},
		"module":       {client.TelemetryOptions{FromStart: true, Of: module}, "a.b/m:0 a.b/m:1"},
		"durable":      {client.TelemetryOptions{FromStart: true, Durable: "app", Of: module}, "a.b/m:0 a.b/m:1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := bodies(take(t, c, tt.o, len(strings.Fields(tt.want)))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	e := take(t, c, client.TelemetryOptions{FromStart: true, Of: module}, 1)[0]
	if e.Properties["weiß nicht"] != "ü=1" || e.System[telemetry.MessageID] != "m0" || e.Sequence != 3 || time.Since(e.Stored) > time.Minute {
		t.Errorf("event = %+v", e)
	}
}

func TestDurableGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	for name, ack := range map[string]client.Ack{"all": client.AckAll, "each": client.AckEach} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, c := hubAndClient(t)
			send(t, b, hub.Identity{Device: "d"}, 10)
			o := client.TelemetryOptions{Durable: "app", FromStart: true, Ack: ack}
			if got := bodies(take(t, c, o, 3)); got != "d:0 d:1 d:2" {
				t.Errorf("first = %q", got)
			}
			// A handler that fails gets the message again.
			fault := errors.New("no database")
			handled := []string{"d:0", "d:1", "d:2"}
			err := c.Consume(testContext(t), o, func(e client.Event) error {
				if string(e.Body) == "4" {
					return fault
				}
				handled = append(handled, bodies([]client.Event{e}))
				return nil
			})
			if !errors.Is(err, fault) {
				t.Errorf("Consume = %v, want the handler's error", err)
			}
			o.FromStart = false // an existing consumer knows where it was
			handled = append(handled, strings.Fields(bodies(take(t, c, o, 10-len(handled))))...)
			if ack == client.AckEach { // what comes again may come in any order
				slices.Sort(handled)
			}
			if got := strings.Join(handled, " "); got != "d:0 d:1 d:2 d:3 d:4 d:5 d:6 d:7 d:8 d:9" {
				t.Errorf("handled %q, want each once", got)
			}
		})
	}
}

// TestConsumeLargest takes more than the bytes that are asked for at once, in
// messages of the largest size.
func TestConsumeLargest(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	const n, size = 80, 250 << 10
	r := &receipts{t: t}
	r.wg.Add(n)
	for i := range n {
		m := &telemetry.Message{From: hub.Identity{Device: "d"}, Body: make([]byte, size), Source: telemetry.SourceTelemetry, Enqueued: time.Now()}
		b.Telemetry().Store(m, r, uint64(i))
	}
	r.wg.Wait()
	for i, e := range take(t, c, client.TelemetryOptions{FromStart: true}, n) {
		if e.Sequence != uint64(i+1) || len(e.Body) != size {
			t.Fatalf("message %d has number %d and %d bytes", i, e.Sequence, len(e.Body))
		}
	}
}

func TestConsumeNewOnly(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	send(t, b, hub.Identity{Device: "old"}, 3)
	ctx, stop := context.WithCancel(testContext(t))
	got := make(chan client.Event, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Consume(ctx, client.TelemetryOptions{}, func(e client.Event) error { got <- e; return nil })
	}()
	for received := false; !received; {
		send(t, b, hub.Identity{Device: "new"}, 1)
		select {
		case e := <-got:
			received = true
			if e.From.Device != "new" {
				t.Errorf("got a message of %s", e.From)
			}
		case <-time.After(20 * time.Millisecond):
		case err := <-ended:
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Consume = %v, want context.Canceled", err)
	}
}

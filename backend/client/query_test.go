package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/query"
	"github.com/hubgate/hubgate/twin"
)

// fleet runs a hub with n devices, of which every other one has a tag.
func fleet(t *testing.T, n int) (*backend.Backbone, *client.Client) {
	t.Helper()
	b, c := hubAndClient(t)
	service, err := b.ServeQueries()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	for i := range n {
		add(t, b, i)
	}
	return b, c
}

func add(t *testing.T, b *backend.Backbone, i int) hub.Identity {
	t.Helper()
	id := hub.Identity{Device: fmt.Sprintf("d%03d", i)}
	if _, err := (&identity.Registry{Store: b.Devices()}).Create(testContext(t), identity.Record{ID: id}); err != nil {
		t.Fatal(err)
	}
	tag(t, b, id, fmt.Sprintf(`{"n":%d}`, i%2))
	return id
}

func tag(t *testing.T, b *backend.Backbone, id hub.Identity, tags string) {
	t.Helper()
	twins := &twin.Twins{Store: b.Twins()}
	if _, err := twins.Update(testContext(t), id, twin.Write{Body: []byte(`{"tags":` + tags + `}`)}); err != nil {
		t.Fatal(err)
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	_, c := fleet(t, 25)
	ctx := testContext(t)
	var got []string
	for row, err := range c.Query(ctx, "SELECT deviceId FROM devices WHERE tags.n = 1") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(row))
	}
	if len(got) != 12 || got[0] != `{"deviceId":"d001"}` || got[11] != `{"deviceId":"d023"}` {
		t.Errorf("rows = %v", got)
	}
	sizes := []int{}
	for page, err := range c.QueryPages(ctx, "SELECT * FROM devices", 10) {
		if err != nil || page.Type != query.Twin {
			t.Fatalf("page of %s, %v", page.Type, err)
		}
		sizes = append(sizes, len(page.Items))
	}
	if fmt.Sprint(sizes) != "[10 10 5]" {
		t.Errorf("pages of %v rows", sizes)
	}
	for range c.Query(ctx, "SELECT * FROM devices") {
		break // and nothing more is asked
	}
	plan, err := c.ExplainQuery(ctx, "SELECT * FROM devices WHERE deviceId = 'd001'")
	if err != nil || plan.Access != query.AccessKey || plan.Total != 25 {
		t.Errorf("plan = %+v, %v", plan, err)
	}
}

func TestQueryErrors(t *testing.T) {
	t.Parallel()
	_, c := fleet(t, 1)
	ctx := testContext(t)
	_, syntax := c.QueryPage(ctx, "SELECT *\nFROM", 0, "")
	_, size := c.QueryPage(ctx, "SELECT * FROM devices", 1001, "")
	_, token := c.QueryPage(ctx, "SELECT * FROM devices", 0, "forged")
	_, explained := c.ExplainQuery(ctx, "SELEC")
	watched := c.WatchQuery(ctx, "SELECT COUNT() AS n FROM devices", func(client.QueryEvent) error { return nil })
	badWatch := c.WatchQuery(ctx, "", func(client.QueryEvent) error { return nil })
	for name, err := range map[string]error{"syntax": syntax, "size": size, "token": token, "explain": explained, "watch": watched, "bad watch": badWatch} {
		if hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if syntax == nil || !strings.Contains(syntax.Error(), "line 2") {
		t.Errorf("%v does not say where", syntax)
	}
	for _, err := range c.Query(ctx, "x") {
		if hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("Query: %v", err)
		}
	}
}

// TestQueryPagesFitMessages: rows that are more than a message holds come on
// more pages, and a single one that is too long has an error that says so.
func TestQueryPagesFitMessages(t *testing.T) {
	t.Parallel()
	b, c := fleet(t, 0)
	big := make([]string, 0, 7)
	for i := range 7 {
		big = append(big, fmt.Sprintf(`"k%d":%q`, i, strings.Repeat("v", 1000)))
	}
	const devices = 200
	for i := range devices {
		tag(t, b, add(t, b, i), "{"+strings.Join(big, ",")+"}")
	}
	pages, rows := 0, 0
	for page, err := range c.QueryPages(testContext(t), "SELECT * FROM devices", query.MaxPage) {
		if err != nil {
			t.Fatal(err)
		}
		pages, rows = pages+1, rows+len(page.Items)
	}
	if rows != devices || pages < 2 {
		t.Errorf("%d rows on %d pages", rows, pages)
	}
}

// TestWatchQuery follows a query from its first rows to those that come and go.
func TestWatchQuery(t *testing.T) {
	t.Parallel()
	const devices = 150 // more than one window
	b, c := fleet(t, devices)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	state := map[string]string{}
	step, id := 0, hub.Identity{Device: "d001"}
	err := c.WatchQuery(ctx, "SELECT deviceId, tags.n FROM devices WHERE tags.n = 1", func(e client.QueryEvent) error {
		switch e.Kind {
		case query.Removed:
			delete(state, e.Key)
		case query.Added, query.Changed:
			state[e.Key] = string(e.Row)
		case query.Loaded:
			if len(state) != devices/2 || state["d001"] != `{"deviceId":"d001","n":1}` {
				t.Errorf("at first there are %d rows: %v", len(state), state)
			}
		}
		switch step++; {
		case e.Kind == query.Loaded:
			tag(t, b, id, `{"n":2}`)
		case e.Kind == query.Removed:
			tag(t, b, hub.Identity{Device: "d000"}, `{"n":1}`)
		case e.Kind == query.Added && e.Key == "d000":
			tag(t, b, hub.Identity{Device: "d003"}, `{"other":1}`)
		case e.Kind == query.Changed && e.Key == "d003":
			return client.ErrStop
		}
		return nil
	})
	if err != nil || len(state) != devices/2 {
		t.Errorf("WatchQuery = %v, with %d rows", err, len(state))
	}
}

// TestWatchQueryEnds: with its context, with an error of the listener, and when
// the node stops.
func TestWatchQueryEnds(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	service, err := b.ServeQueries()
	if err != nil {
		t.Fatal(err)
	}
	add(t, b, 1)
	ctx, cancel := context.WithCancel(testContext(t))
	if err := c.WatchQuery(ctx, "SELECT * FROM devices", func(client.QueryEvent) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
	if err := c.WatchQuery(testContext(t), "SELECT * FROM devices", func(client.QueryEvent) error { return errors.ErrUnsupported }); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("after an error: %v", err)
	}
	err = c.WatchQuery(testContext(t), "SELECT * FROM devices", func(e client.QueryEvent) error {
		if e.Kind == query.Loaded {
			go func() { _ = service.Stop() }()
		}
		return nil
	})
	if hub.CodeOf(err) != hub.ServiceUnavailable || !strings.Contains(err.Error(), "stops") {
		t.Errorf("after the stop of the node: %v", err)
	}
	if err := c.WatchQuery(testContext(t), "SELECT * FROM devices", nil); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("without a node: %v", err)
	}
}

// TestWatchQueryMissesNothing: when the last event is lost on the way, there is no
// next one to tell; what a node says of being there does.
func TestWatchQueryMissesNothing(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	_, err := b.Conn().Subscribe(c.Names().QueryWatch(), func(m *nats.Msg) {
		for _, text := range []string{
			`{"event":"alive","seq":0}`, `{"event":"loaded","seq":1}`, `{"event":"alive","seq":1}`, `{"event":"alive","seq":2}`,
		} {
			_ = m.Respond([]byte(text))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	err = c.WatchQuery(testContext(t), "SELECT * FROM devices", func(client.QueryEvent) error { told++; return nil })
	if hub.CodeOf(err) != hub.ServiceUnavailable || !strings.Contains(err.Error(), "missing") || told != 1 {
		t.Errorf("WatchQuery = %v, after %d events", err, told)
	}
}

// TestRowsHoldNoKeys: what a back-end app may ask shows no secret.
func TestRowsHoldNoKeys(t *testing.T) {
	t.Parallel()
	b, c := fleet(t, 1)
	id := hub.Identity{Device: "secret"}
	r, err := (&identity.Registry{Store: b.Devices()}).Create(testContext(t), identity.Record{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	for row, err := range c.Query(testContext(t), "SELECT * FROM devices") {
		if err != nil || strings.Contains(string(row), r.Authentication.SymmetricKey.PrimaryKey) || !json.Valid(row) {
			t.Errorf("%s, %v", row, err)
		}
	}
	for row, err := range c.Query(testContext(t), "SELECT authentication, symmetricKey, authentication.symmetricKey.primaryKey FROM devices") {
		if err != nil || len(row) > 2 {
			t.Errorf("%s, %v", row, err)
		}
	}
}

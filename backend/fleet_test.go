package backend

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// fatal is a test, or a check of rapid.
type fatal interface {
	Helper()
	Fatal(args ...any)
}

// everything is the keys and documents of devices and modules as queries have
// them.
func everything(ctx context.Context, tb fatal, f *Fleet) map[string]string {
	tb.Helper()
	if err := f.current(ctx, counted); err != nil {
		tb.Fatal(err)
	}
	rows := map[string]string{}
	f.catalog.each(ctx, func(id hub.Identity) {
		row, _ := f.catalog.of(id).Get(id.String())
		rows[id.String()] = string(row)
	})
	return rows
}

// fleetModel does at random what changes documents.
type fleetModel struct {
	b        *Backbone
	registry *identity.Registry
	twins    *twin.Twins
	ids      []hub.Identity
	owned    map[hub.Identity]*session.Session
	n        int
}

func newFleetModel(b *Backbone) *fleetModel {
	return &fleetModel{
		b: b, registry: &identity.Registry{Store: b.Devices()}, twins: twinsOf(b), owned: map[hub.Identity]*session.Session{},
		ids: []hub.Identity{{Device: "a"}, {Device: "b.*"}, {Device: "a", Module: "m"}, {Device: "a", Module: "$n"}},
	}
}

// step does one thing, which may fail.
func (m *fleetModel) step(ctx context.Context, id hub.Identity, what string) {
	m.n++
	switch what {
	case "create":
		_, _ = m.registry.Create(ctx, identity.Record{ID: id})
	case "update":
		_, _ = m.registry.Update(ctx, identity.Record{ID: id, Status: identity.StatusDisabled, StatusReason: fmt.Sprint(m.n)}, "*")
	case "delete":
		_ = m.registry.Delete(ctx, id, "*")
	case "patch":
		_, _ = m.twins.Update(ctx, id, twin.Write{Body: fmt.Appendf(nil, `{"tags":{"n":%d,"s":"<ü\"\\{}[],"},"properties":{"desired":{"a":{"b":[%d]}}}}`, m.n, m.n)})
	case "replace":
		_, _ = m.twins.Replace(ctx, id, twin.Write{Body: []byte(`{"tags":{}}`)})
	case "report":
		_, _ = m.twins.PatchReported(ctx, id, fmt.Appendf(nil, `{"n":%d}`, m.n), 0)
	case "connect":
		m.connect(ctx, id)
	case "disconnect":
		if s := m.owned[id]; s != nil {
			_ = m.b.Sessions().Release(ctx, s)
		}
	case "message":
		_, _ = m.b.js.Publish(ctx, m.b.names.C2D(id.Device), []byte("x"))
	case "purge":
		_, _ = m.b.queues.Purge(ctx, id.Device)
	}
}

func (m *fleetModel) connect(ctx context.Context, id hub.Identity) {
	r, err := m.registry.Get(ctx, id)
	if err != nil {
		return
	}
	s, _, err := m.b.Sessions().Claim(ctx, session.Session{
		ID: id, Generation: r.GenerationID, Connected: true, Node: "n1", ConnectedTime: r.CreatedTime.AddDate(0, 0, m.n), ModelID: "dtmi:x;1",
	})
	if err == nil {
		m.owned[id] = &s
	}
}

// want is what queries have to answer: the views of those that exist.
func (m *fleetModel) want(ctx context.Context, t *rapid.T) map[string]string {
	views := map[string]string{}
	for _, id := range m.ids {
		v, err := m.b.Fleet().View(ctx, id)
		if hub.CodeOf(err).Status() == 404 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		views[id.String()] = string(v.AppendJSON(nil))
		if id.IsModule() { // the row has more than the twin
			views[id.String()] = views[id.String()][:len(views[id.String()])-1] + `,"capabilities":{"iotEdge":false}}`
		}
	}
	return views
}

// TestFleetIsWhatWasWritten: whatever this node writes, the next query has it,
// and nothing else.
func TestFleetIsWhatWasWritten(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	b.Fleet().queues.age = 0
	ctx := t.Context() // thousands of requests take their time on a busy machine
	rapid.Check(t, func(t *rapid.T) {
		m := newFleetModel(b)
		for _, id := range m.ids {
			m.step(ctx, id, "delete")
			m.step(ctx, id, "purge")
		}
		steps := []string{"create", "create", "update", "delete", "patch", "replace", "report", "connect", "disconnect", "message", "purge"}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			id := rapid.SampledFrom(m.ids).Draw(t, "id")
			m.step(ctx, id, rapid.SampledFrom(steps).Draw(t, "what"))
			m.check(ctx, t)
		}
	})
}

// check compares queries with the stores while those stand still: a message to
// a device that does not exist is taken out of its queue a moment later.
func (m *fleetModel) check(ctx context.Context, t *rapid.T) {
	for {
		before := m.want(ctx, t)
		got := everything(ctx, t, m.b.Fleet())
		if !cmp.Equal(before, m.want(ctx, t)) {
			continue
		}
		if diff := cmp.Diff(before, got); diff != "" {
			t.Fatalf("-stores +queries\n%s", diff)
		}
		break
	}
	m.checkNumbers(ctx, t)
}

// checkNumbers compares what is counted with what is there.
func (m *fleetModel) checkNumbers(ctx context.Context, t *rapid.T) {
	var want identity.Statistics
	for _, id := range m.ids {
		r, err := m.registry.Get(ctx, id)
		if err != nil {
			continue
		}
		a, err := m.b.Fleet().Activity(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		listed, err := m.b.Fleet().Activities(ctx, []hub.Identity{id})
		if len(listed) == 1 {
			a.Messages = listed[0].Messages // check has looked after these
		}
		if err != nil || !cmp.Equal(listed, []identity.Activity{a}) {
			t.Fatalf("%s: Activities = %v, %v, want %v", id, listed, err, a)
		}
		if id.IsModule() {
			continue
		}
		want.Devices++
		if r.Status == identity.StatusDisabled {
			want.Disabled++
		} else {
			want.Enabled++
		}
		if a.Connected {
			want.Connected++
		}
	}
	if got, err := m.b.Fleet().Statistics(ctx); err != nil || got != want {
		t.Fatalf("Statistics = %+v, %v, want %+v", got, err, want)
	}
}

// TestFleetTells: whoever must not miss a write or a claim hears of it, also
// when nothing was announced.
func TestFleetTells(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	written, claims := make(chan uint64, 8), make(chan session.Claim, 8)
	b.Fleet().OnTwin(func(id hub.Identity, revision uint64) {
		if id == device(1) {
			written <- revision
		}
	})
	b.Fleet().OnClaim(func(c session.Claim) { claims <- c })
	if err := b.Fleet().current(testContext(t), uncounted); err != nil {
		t.Fatal(err)
	}
	if _, err := (&identity.Registry{Store: b.Devices()}).Create(testContext(t), identity.Record{ID: device(1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := twinsOf(b).Update(testContext(t), device(1), twin.Write{Body: []byte(`{"tags":{"a":1}}`)}); err != nil {
		t.Fatal(err)
	}
	if got, want := <-written, b.twins.bucket.written.Load(); got != want {
		t.Errorf("the twin was written with revision %d, told was %d", want, got)
	}
	own, _, err := b.Sessions().Claim(testContext(t), session.Session{ID: device(1), Node: "a", Connection: "a-1"})
	if err != nil {
		t.Fatal(err)
	}
	want := session.Claim{ID: device(1), Epoch: own.Epoch, Node: "a", Connection: "a-1"}
	if got := <-claims; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := b.Sessions().Save(testContext(t), &own); err != nil {
		t.Fatal(err)
	}
	if got := <-claims; got != want { // the owner is the same
		t.Errorf("got %+v, want %+v", got, want)
	}
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/twin"
)

// twins runs a hub with the device dev1 and the service of twins.
func twins(t *testing.T) (*backend.Backbone, *client.Client, hub.Identity) {
	t.Helper()
	b, c := hubAndClient(t)
	if _, err := b.ServeTwins(&twin.Twins{Store: b.Twins()}); err != nil {
		t.Fatal(err)
	}
	id := hub.Identity{Device: "dev1"}
	if _, err := c.Registry().Create(testContext(t), identity.Record{ID: id}); err != nil {
		t.Fatal(err)
	}
	return b, c, id
}

func TestTwins(t *testing.T) {
	t.Parallel()
	b, c, id := twins(t)
	ctx, tw := testContext(t), c.Twins()
	got, err := tw.Get(ctx, id)
	if err != nil || got.Version != 2 || got.ID != id {
		t.Fatalf("Get = %s, %v", got.AppendJSON(nil), err)
	}
	if all, err := tw.History(ctx, id); err != nil || len(all) != 0 {
		t.Errorf("History = %+v, %v, want none", all, err)
	}
	got, err = tw.Update(ctx, id, twin.Write{Body: []byte(`{"tags":{"t":1},"properties":{"desired":{"n":1.50}}}`), IfMatch: got.ETag, By: "alice"})
	if err != nil || string(got.DesiredProperties()) != `{"n":1.50}` {
		t.Errorf("Update = %s, %v", got.AppendJSON(nil), err)
	}
	if _, err := tw.Replace(ctx, id, twin.Write{Body: []byte(`{"tags":{}}`), IfMatch: "AAAAAAAAAAE="}); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("Replace with an old etag = %v", err)
	}
	if _, err := (&twin.Twins{Store: b.Twins()}).PatchReported(ctx, id, []byte(`{"r":1}`), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Replace(ctx, id, twin.Write{Body: []byte(`{"tags":{"u":2}}`)}); err != nil {
		t.Errorf("Replace = %v", err)
	}
	all, err := tw.History(ctx, id)
	if err != nil || len(all) != 3 {
		t.Fatalf("History = %+v, %v", all, err)
	}
	for i, want := range []struct {
		by string
		op twin.Op
	}{{"alice", twin.OpUpdate}, {"dev1", twin.OpUpdate}, {"", twin.OpReplace}} {
		r := all[i]
		if r.By != want.by || r.Op != want.op || r.Twin.Version != int64(i+3) || r.Deleted || r.Time.IsZero() || r.Generation == "" {
			t.Errorf("entry %d is %+v", i, r)
		}
	}
	if err := c.Registry().Delete(ctx, id, client.Any); err != nil {
		t.Fatal(err)
	}
	if all, err = tw.History(ctx, id); err != nil || len(all) != 1 || !all[0].Deleted {
		t.Errorf("History of a deleted device = %+v, %v", all, err)
	}
}

func TestTwinErrors(t *testing.T) {
	t.Parallel()
	_, c, id := twins(t)
	ctx, tw := testContext(t), c.Twins()
	_, notThere := tw.Get(ctx, hub.Identity{Device: "nobody"})
	_, noModule := tw.Get(ctx, hub.Identity{Device: "dev1", Module: "nobody"})
	_, noID := tw.Get(ctx, hub.Identity{Device: "a b"})
	_, noJSON := tw.Update(ctx, id, twin.Write{Body: []byte(`{"tags":`)})
	_, badKey := tw.Update(ctx, id, twin.Write{Body: []byte(`{"tags":{"a.b":1}}`)})
	for name, tt := range map[string]struct {
		err  error
		code hub.Code
		want string
	}{
		"no device": {notThere, hub.DeviceNotFound, "nobody"}, "no module": {noModule, hub.ModuleNotFound, "dev1/nobody"},
		"no id": {noID, hub.ArgumentInvalid, "a b"}, "no JSON": {noJSON, hub.ArgumentInvalid, "tags"}, "bad key": {badKey, hub.ArgumentInvalid, "tags.a.b"},
	} {
		if hub.CodeOf(tt.err) != tt.code || !strings.Contains(fmt.Sprint(tt.err), tt.want) {
			t.Errorf("%s: got %v, want %d about %s", name, tt.err, tt.code, tt.want)
		}
	}
}

func TestTwinWatch(t *testing.T) {
	t.Parallel()
	_, c, id := twins(t)
	ctx, tw := testContext(t), c.Twins()
	for i := range 3 {
		if _, err := tw.Update(ctx, id, twin.Write{Body: fmt.Appendf(nil, `{"properties":{"desired":{"n":%d}}}`, i), By: "alice"}); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	err := tw.Watch(ctx, client.TwinOptions{Of: id, FromStart: true}, func(e client.TwinEvent) error {
		if want := fmt.Sprintf(`"desired":{"n":%d,`, seen); e.ID != id || e.By != "alice" || e.Op != twin.OpUpdate || !strings.Contains(string(e.Body), want) {
			t.Errorf("event %d is %+v with %s", seen, e, e.Body)
		}
		if seen++; seen == 3 {
			return client.ErrStop
		}
		return nil
	})
	if err != nil || seen != 3 {
		t.Errorf("Watch = %v after %d events", err, seen)
	}
	failed := errors.New("the handler fails")
	if err := tw.Watch(ctx, client.TwinOptions{FromStart: true}, func(client.TwinEvent) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("Watch = %v", err)
	}
	ctx, stop := context.WithCancel(ctx)
	stop()
	if err := tw.Watch(ctx, client.TwinOptions{}, func(client.TwinEvent) error { return nil }); err == nil {
		t.Error("Watch goes on after its context")
	}
}

// A back end reads a twin and changes it, unless somebody else was faster.
func ExampleTwins_Update() {
	c, err := client.Connect(client.Options{CredsFile: "nats/hub.creds"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, id := context.Background(), hub.Identity{Device: "dev1"}
	t, err := c.Twins().Get(ctx, id)
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err = c.Twins().Update(ctx, id, twin.Write{
		Body:    []byte(`{"tags":{"plant":"A"},"properties":{"desired":{"interval":30,"old":null}}}`),
		IfMatch: t.ETag,
		By:      "rollout",
	})
	if errors.Is(err, &hub.Error{Code: hub.PreconditionFailed}) {
		fmt.Println("somebody else was faster")
		return
	}
	fmt.Println(t.DesiredVersion(), err)
}

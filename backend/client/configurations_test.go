package client_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/hub"
)

// lenient is a query language in which everything is right, and counts nothing.
type lenient struct{ configuration.Twins }

func (lenient) OfModules() bool { return false }
func (lenient) Clause() string  { return "" }

func (lenient) Condition(string) (configuration.Condition, error) { return lenient{}, nil }

func (lenient) Check(string) error { return nil }

func (lenient) Count(context.Context, string) (int, error) { return 0, nil }

// patches of content are taken as they are.
type taker struct{ configuration.Twins }

func (taker) Check([]byte) error { return nil }

func TestConfigurations(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	service := &configuration.Service{Store: b.Configurations(), Language: lenient{}, Counter: lenient{}, Twins: taker{}}
	if _, err := b.ServeConfigurations(service); err != nil {
		t.Fatal(err)
	}
	ctx, all := testContext(t), c.Configurations()
	// As large as they get: no answer holds all of them.
	body := fmt.Appendf(nil, `{"content":{"deviceContent":{"properties.desired.x":"%s"}}}`, strings.Repeat("x", 200<<10))
	for i := range 6 {
		made, err := all.Create(ctx, fmt.Sprint("c", i), body)
		if err != nil || made.ETag() != "MQ==" || made.Content.Kind != configuration.Devices {
			t.Fatalf("Create: %+v, %v", made, err)
		}
	}
	if _, err := all.Create(ctx, "c1", body); hub.CodeOf(err) != hub.ConfigurationAlreadyExists {
		t.Errorf("Create again: %v", err)
	}
	list, err := all.List(ctx)
	if err != nil || len(list) != 6 || list[5].ID != "c5" {
		t.Errorf("List: %d, %v", len(list), err)
	}
	updated, err := all.Update(ctx, "c1", []byte(`{"priority":7}`), "MQ==")
	if err != nil || updated.Priority != 7 {
		t.Errorf("Update: %+v, %v", updated, err)
	}
	if _, err := all.Update(ctx, "c1", []byte(`{}`), "MQ=="); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("Update with a stale etag: %v", err)
	}
	if _, err := all.Update(ctx, "c1", []byte(`{}`), ""); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("Update without an etag: %v", err)
	}
	if got, err := all.Get(ctx, "c1"); err != nil || got.ETag() != updated.ETag() {
		t.Errorf("Get: %+v, %v", got, err)
	}
	if err := all.Delete(ctx, "c1", "*"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if _, err := all.Get(ctx, "c1"); hub.CodeOf(err) != hub.ConfigurationNotFound {
		t.Errorf("Get of the deleted: %v", err)
	}
	if _, err := all.Get(ctx, ""); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("Get of nothing: %v", err)
	}
}

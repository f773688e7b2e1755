package backend

import (
	"context"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/methods"
)

// faulty is a store with a fault in one of its paths.
type faulty struct{ identity.Store }

func (s faulty) Get(ctx context.Context, id hub.Identity) (identity.Record, error) {
	if id.Device == "cursed" {
		panic("a fault")
	}
	return s.Store.Get(ctx, id)
}

// TestFaultOfOneRequest: a fault of the gateway is an error for who has asked, and
// nothing for anybody else.
func TestFaultOfOneRequest(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	n := startNode(t, s, "a")
	service, err := n.ServeRegistry(&identity.Registry{Store: faulty{n.Devices()}, Events: n.Events()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	for _, i := range []int{1, 2} {
		create(t, n.Backbone, device(i))
	}
	n.connect(t, device(1), func(context.Context, methods.Call) (methods.Answer, error) { panic("a fault") })
	n.connect(t, device(2), echoStatus)
	for range 2 { // as many as come
		for subject, code := range map[string]string{
			"hub.registry.get.cursed": "500001",
			"hub.registry.get.dev-2":  "",
			"hub.method.dev-1.m":      "500001",
			"hub.method.dev-2.m":      "",
		} {
			if got := askOn(t, n.Backbone, subject, ""); codeIn(got) != code {
				t.Errorf("%s: got %v %s, want %q", subject, got.Header, got.Data, code)
			}
		}
	}
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/methods"
)

const patience = 30 * time.Second

// shopFloor is devices that answer with their payload; who is not in it is not
// connected.
type shopFloor struct {
	mu   sync.Mutex
	here map[hub.Identity]bool
}

func (f *shopFloor) Invoke(_ context.Context, c methods.Call) (methods.Answer, error) {
	if !f.Ready(c.ID, c.Method) {
		return methods.Answer{}, hub.Errorf(hub.DeviceNotOnline, "%s is not connected", c.ID)
	}
	return methods.Answer{Status: 200, Payload: []byte(c.Method + string(c.Payload))}, nil
}

func (f *shopFloor) Ready(id hub.Identity, _ string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.here[id]
}

// startHub runs a hub with the device here and the devices away and far.
func startHub(t *testing.T) (*client.Client, *backend.MethodService, *shopFloor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := embedded.Start(ctx, embedded.Config{DataDir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := backend.Connect(ctx, backend.Config{URL: s.URL(), CredsFile: s.HubCreds()})
	if err != nil {
		t.Fatal(err)
	}
	floor := &shopFloor{here: map[hub.Identity]bool{{Device: "here"}: true}}
	service, err := b.ServeMethods(ctx, "a", floor)
	if err != nil {
		t.Fatal(err)
	}
	registry := &identity.Registry{Store: b.Devices()}
	for _, id := range []string{"here", "away", "far"} {
		if _, err := registry.Create(ctx, identity.Record{ID: hub.Identity{Device: id}}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.Connect(client.Options{URL: s.URL(), CredsFile: s.HubCreds()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		err := service.Stop()
		b.Close(ctx)
		if err := errors.Join(err, s.Shutdown()); err != nil {
			t.Error(err)
		}
	})
	return c, service, floor
}

func TestInvoke(t *testing.T) {
	t.Parallel()
	c, _, _ := startHub(t)
	a, err := c.Methods().Invoke(t.Context(), methods.Call{ID: hub.Identity{Device: "here"}, Method: "fan.set", Payload: []byte(`{"speed":2}`)})
	if err != nil || a.Status != 200 || string(a.Payload) != `fan.set{"speed":2}` {
		t.Errorf("got %+v, %v", a, err)
	}
	tests := map[string]struct {
		call methods.Call
		code hub.Code
	}{
		"away":    {methods.Call{ID: hub.Identity{Device: "away"}, Method: "m"}, hub.DeviceNotOnline},
		"nobody":  {methods.Call{ID: hub.Identity{Device: "nobody"}, Method: "m"}, hub.DeviceNotFound},
		"module":  {methods.Call{ID: hub.Identity{Device: "here", Module: "m"}, Method: "m"}, hub.ModuleNotFound},
		"bad id":  {methods.Call{ID: hub.Identity{Device: "a b"}, Method: "m"}, hub.ArgumentInvalid},
		"no name": {methods.Call{ID: hub.Identity{Device: "here"}}, hub.ArgumentInvalid},
		"no JSON": {methods.Call{ID: hub.Identity{Device: "here"}, Method: "m", Payload: []byte("x")}, hub.ArgumentInvalid},
	}
	for name, tt := range tests {
		if _, err := c.Methods().Invoke(t.Context(), tt.call); hub.CodeOf(err) != tt.code {
			t.Errorf("%s: got %v, want %d", name, err, tt.code)
		}
	}
}

func TestInvokeWithoutAHub(t *testing.T) {
	t.Parallel()
	c, service, _ := startHub(t)
	if err := service.Stop(); err != nil {
		t.Fatal(err)
	}
	call := methods.Call{ID: hub.Identity{Device: "here"}, Method: "m"}
	if _, err := c.Methods().Invoke(t.Context(), call); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("got %v", err)
	}
	if _, err := c.Methods().InvokeWhenOnline(t.Context(), methods.Order{Call: call, Wait: time.Minute}); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestInvokeWhenOnline(t *testing.T) {
	t.Parallel()
	c, service, floor := startHub(t)
	told, err := c.Conn().SubscribeSync("app.results")
	if err != nil {
		t.Fatal(err)
	}
	far, m := hub.Identity{Device: "far"}, c.Methods()
	var ids []string
	for _, name := range []string{"one", "two", "three"} {
		r, err := m.InvokeWhenOnline(t.Context(), methods.Order{Call: methods.Call{ID: far, Method: name}, Wait: time.Hour, ReplyTo: "app.results"})
		if err != nil {
			t.Fatal(err)
		}
		if r.State != methods.Pending || r.DeviceID != "far" || r.Method != name || r.ReplyTo != "app.results" {
			t.Errorf("got %+v", r)
		}
		ids = append(ids, r.ID)
	}
	if got := listed(t, m, hub.Identity{}); !slices.Equal(got, ids) {
		t.Errorf("listed %q, want %q", got, ids)
	}
	if got := listed(t, m, hub.Identity{Device: "here"}); len(got) != 0 {
		t.Errorf("listed %q", got)
	}
	if err := m.CancelCommand(t.Context(), far, ids[1]); err != nil {
		t.Error(err)
	}
	if err := m.CancelCommand(t.Context(), far, ids[1]); hub.CodeOf(err) != hub.JobNotFound {
		t.Errorf("got %v", err)
	}
	if r := next(t, told); r.ID != ids[1] || r.Outcome != methods.Cancelled || hub.CodeOf(r.Err) != hub.PreconditionFailed {
		t.Errorf("got %+v", r)
	}
	floor.mu.Lock()
	floor.here[far] = true
	floor.mu.Unlock()
	service.Callable(far)
	for _, i := range []int{0, 2} {
		r := next(t, told)
		if r.ID != ids[i] || r.For != far || r.Outcome != methods.Answered || r.Err != nil || string(r.Answer.Payload) != r.Method+"null" {
			t.Errorf("got %+v", r)
		}
	}
	if _, err := m.InvokeWhenOnline(t.Context(), methods.Order{Call: methods.Call{ID: far, Method: "m"}}); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("without a wait: %v", err)
	}
}

func listed(t *testing.T, m *client.Methods, id hub.Identity) []string {
	t.Helper()
	var ids []string
	for r, err := range m.ListCommands(t.Context(), id) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

func next(t *testing.T, sub *nats.Subscription) client.Result {
	t.Helper()
	m, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.ParseResult(m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseResultRefuses(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]nats.Header{
		"nothing":    nil,
		"no outcome": {methods.HeaderCommandID: {"1"}},
		"no status":  {methods.HeaderCommandID: {"1"}, methods.HeaderOutcome: {"answered"}},
	} {
		if r, err := client.ParseResult(&nats.Msg{Header: h}); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// A back-end app reboots a device, and leaves an update for one that is away.
func ExampleMethods() {
	c, err := client.Connect(client.Options{URL: "nats://127.0.0.1:4222", CredsFile: "hub.creds"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx := context.Background()
	answer, err := c.Methods().Invoke(ctx, methods.Call{
		ID: hub.Identity{Device: "dev1"}, Method: "reboot", Payload: []byte(`{"delay":5}`), ConnectTimeout: time.Minute,
	})
	switch hub.CodeOf(err) {
	case 0:
		fmt.Println(answer.Status, string(answer.Payload))
	case hub.DeviceNotOnline:
		fmt.Println("it was not called:", err)
	default:
		fmt.Println("perhaps it was called:", err)
	}
	receipt, err := c.Methods().InvokeWhenOnline(ctx, methods.Order{
		Call: methods.Call{ID: hub.Identity{Device: "dev2"}, Method: "update"}, Wait: 24 * time.Hour,
	})
	fmt.Println(receipt.ID, err)
}

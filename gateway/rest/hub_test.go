package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/twin"
)

// world is the API over real stores.
type world struct {
	*testing.T
	api  *Server
	web  *httptest.Server
	back *backend.Backbone
}

// newWorld starts NATS, and the API on it.
func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nats, err := embedded.Start(ctx, embedded.Config{DataDir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := nats.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	b, err := backend.Connect(ctx, backend.Config{URL: nats.URL(), CredsFile: nats.HubCreds()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		b.Close(ctx)
	})
	api := &Server{
		HostName: hostName, Policies: newKeyring(), Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
		Registry: &identity.Registry{Store: b.Devices(), Events: b.Events()}, Presence: b.Fleet(), Twins: &twin.Twins{Store: b.Twins()},
	}
	web := httptest.NewServer(api.Handler())
	t.Cleanup(web.Close)
	return &world{t, api, web, b}
}

// ask sends a request as iothubowner; path is without the version.
func (w *world) ask(verb, path, body string, headers ...string) (*http.Response, string) {
	w.Helper()
	return do(w.T, w.api, w.web, verb, path+version, body, headers...)
}

// must is ask with the status that has to come, and the answer as JSON in v,
// unless it is nil.
func (w *world) must(status int, v any, verb, path, body string, headers ...string) *http.Response {
	w.Helper()
	res, text := w.ask(verb, path, body, headers...)
	if res.StatusCode != status {
		w.Fatalf("%s %s = %d %s, want %d", verb, path, res.StatusCode, text, status)
	}
	if v != nil {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			w.Fatalf("%s %s: %s: %v", verb, path, text, err)
		}
	}
	return res
}

// object is a JSON object whose members are as they stand.
type object map[string]json.RawMessage

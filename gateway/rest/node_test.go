package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/twin"
)

const patience = 60 * time.Second

// testHub is a hub of which everything is real but the devices.
type testHub struct {
	*Server

	web     *httptest.Server
	back    *backend.Backbone
	client  *client.Client
	devices *callees
}

func newHub(t *testing.T) *testHub {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	nats, err := embedded.Start(ctx, embedded.Config{DataDir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := nats.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	h := nodeOf(t, nats, "node-1")
	for _, id := range []hub.Identity{{Device: "dev1"}, {Device: "dev1", Module: "cam"}, {Device: "a+50%"}} {
		if _, err := h.Registry.Create(ctx, identity.Record{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// nodeOf is one node of a hub.
func nodeOf(t *testing.T, nats *embedded.Server, name string) *testHub {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	back, err := backend.Connect(ctx, backend.Config{URL: nats.URL(), CredsFile: nats.HubCreds(), Node: name, HostName: hostName})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		back.Close(ctx)
	})
	c, err := client.New(back.Conn(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &testHub{back: back, client: c, devices: &callees{answers: map[hub.Identity]callee{}}}
	service, err := back.ServeMethods(ctx, name, h.devices)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	purge, err := back.ServeC2D()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = purge.Stop() })
	h.Server = &Server{
		HostName: hostName, Policies: newKeyring(), Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
		Registry: &identity.Registry{Store: back.Devices()}, Presence: back.Fleet(), Fleet: back.Fleet(),
		Twins: &twin.Twins{Store: back.Twins()}, Methods: service, Messages: c.C2D(), Feedback: back.Feedback(),
	}
	twins, err := back.ServeTwins(h.Twins)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = twins.Stop() })
	h.web = newWeb(t, h.Server)
	return h
}

// ask sends one request with a token of iothubowner.
func (h *testHub) ask(t *testing.T, verb, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	if !strings.Contains(path, "?") {
		path += version
	}
	return do(t, h.Server, h.web, verb, path, body, headers...)
}

// report has a device write its reported properties.
func (h *testHub) report(t *testing.T, id hub.Identity, body string) {
	t.Helper()
	if _, err := h.Twins.PatchReported(t.Context(), id, []byte(body), 0); err != nil {
		t.Fatal(err)
	}
}

// callee is a device that takes direct methods.
type callee func(ctx context.Context, c methods.Call) (methods.Answer, error)

type callees struct {
	mu      sync.Mutex
	answers map[hub.Identity]callee
}

func (d *callees) connect(id hub.Identity, f callee) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[id] = f
}

func (d *callees) of(id hub.Identity) callee {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.answers[id]
}

// Invoke implements [methods.Local].
func (d *callees) Invoke(ctx context.Context, c methods.Call) (methods.Answer, error) {
	if f := d.of(c.ID); f != nil {
		return f(ctx, c)
	}
	return methods.Answer{}, hub.Errorf(hub.DeviceNotOnline, "%s is not connected", c.ID)
}

// Ready implements [methods.Reachable].
func (d *callees) Ready(id hub.Identity, _ string) bool { return d.of(id) != nil }

// golden replaces what no test can know: times, etags of identities, request
// ids.
func golden(body string) string {
	for _, r := range []struct{ pattern, text string }{
		{`"deviceEtag":"[A-Za-z0-9+/=]+"`, `"deviceEtag":"E"`},
		{`"\$lastUpdated":"20[-0-9T:.]+Z"`, `"$$lastUpdated":"T"`},
		{`"lastUpdateTime":"20[-0-9T:.]+Z"`, `"lastUpdateTime":"T"`},
		{`"enqueuedTimeUtc":"20[-0-9T:]+[.][0-9]{1,7}Z"`, `"enqueuedTimeUtc":"T"`},
		{`timestampUtc\\":\\"20[-0-9T:.]+Z`, `timestampUtc\":\"T`},
		{`[0-9a-f]{32}(-G:0)?-TimeStamp:[0-9/]+ [0-9:]+`, `ID$1`},
	} {
		body = regexp.MustCompile(r.pattern).ReplaceAllString(body, r.text)
	}
	return body
}

// checkError holds an answer against an error's code, the name in the header,
// and the body.
func checkError(t *testing.T, res *http.Response, body string, code hub.Code, want string) {
	t.Helper()
	if res.StatusCode != code.Status() || res.Header.Get("iothub-errorcode") != code.Name() {
		t.Errorf("%d %s, want %d %s", res.StatusCode, res.Header.Get("iothub-errorcode"), code.Status(), code.Name())
	}
	if got := golden(body); got != want {
		t.Errorf("the body is\n%s, want\n%s", got, want)
	}
	id := strings.ReplaceAll(res.Header.Get("x-ms-request-id"), "-", "")
	if !strings.Contains(body, id) || !json.Valid([]byte(body)) {
		t.Errorf("the body %s has not the request id %s, or is no JSON", body, id)
	}
}

func newWeb(t *testing.T, s *Server) *httptest.Server {
	t.Helper()
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	return web
}

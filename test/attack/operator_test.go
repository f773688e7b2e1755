package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// version is what every request to the API ends with, when nothing is wrong with
// it.
const version = "?api-version=2021-04-12"

// operator is a client of the REST API, from an address of its own.
type operator struct {
	g     *target
	token string
	web   *http.Client
	from  net.IP
}

// operator makes one who has a policy's key; "" has nothing.
func (g *target) operator(t *testing.T, policy string) *operator {
	t.Helper()
	o := &operator{g: g, from: anAddress()}
	if policy != "" {
		o.token = g.serviceToken(policy)
	}
	o.web = &http.Client{Timeout: 2 * patience, Transport: &http.Transport{
		TLSClientConfig: g.tls, DisableCompression: true, MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialFrom(ctx, o.from, g.address(httpsPort))
		},
	}}
	t.Cleanup(o.web.CloseIdleConnections)
	return o
}

// serviceToken is what a service SDK makes of a policy's key.
func (g *target) serviceToken(policy string) string {
	return forge(url.QueryEscape(g.Ready.HostName), inAnHour(), g.policies[policy], policy)
}

// answer is what a request got.
type answer struct {
	request string // verb and path
	status  int
	header  http.Header
	body    []byte
}

// do makes a request; headers are names and values.
func (o *operator) do(t *testing.T, verb, path, body string, headers ...string) answer {
	t.Helper()
	a, err := o.try(t.Context(), verb, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %.100s: %v", verb, path, err)
	}
	return a
}

func (o *operator) try(ctx context.Context, verb, path, body string, headers ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, verb, "https://"+o.g.address(httpsPort)+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if o.token != "" {
		r.Header.Set("Authorization", o.token)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	got, err := o.web.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	return answer{verb + " " + path, got.StatusCode, got.Header, text}, err
}

// refused looks at an answer that has to be IoT Hub's own error: its status, its
// name in the header and in the body, the id of the request in both, and no more
// of what was sent than a line.
func (a answer) refused(t *testing.T, codes ...hub.Code) {
	t.Helper()
	name := a.header.Get("Iothub-Errorcode")
	var code hub.Code
	for _, c := range codes {
		if c.Name() == name && c.Status() == a.status {
			code = c
		}
	}
	if code == 0 {
		t.Errorf("%.120q is answered with %d %s, want %v: %.300q", a.request, a.status, name, codes, a.body)
		return
	}
	if kind := a.header.Get("Content-Type"); kind != "application/json; charset=utf-8" {
		t.Errorf("%.120q: the error is of the type %q", a.request, kind)
	}
	if len(a.body) > 2000 {
		t.Errorf("%.120q: the error has %d bytes", a.request, len(a.body))
	}
	tracking := strings.ReplaceAll(a.header.Get("x-ms-request-id"), "-", "")
	if got, err := a.fault(); err != nil || got.name != name && got.number != int(code) || got.tracking != tracking {
		t.Errorf("%.120q: the error is %.500q: %+v, %v, want %s, tracked as %s", a.request, a.body, got, err, name, tracking)
	}
}

// fault is what a body says, in either of IoT Hub's forms.
type fault struct {
	name, tracking string
	number         int
}

func (a answer) fault() (fault, error) {
	var outer struct{ Message, ExceptionMessage *string }
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&outer); err != nil || outer.Message == nil || outer.ExceptionMessage == nil {
		return fault{}, fmt.Errorf("neither of the forms: %w", err)
	}
	if m := regexp.MustCompile(`^ErrorCode:(\w+);`).FindStringSubmatch(*outer.Message); m != nil {
		id := regexp.MustCompile(`^Tracking ID:([0-9a-f]{32})-`).FindStringSubmatch(*outer.ExceptionMessage)
		if id == nil {
			return fault{}, fmt.Errorf("no tracking id in %q", *outer.ExceptionMessage)
		}
		return fault{name: m[1], tracking: id[1]}, nil
	}
	var inner struct {
		ErrorCode  int
		TrackingID string
	}
	if err := json.Unmarshal([]byte(*outer.Message), &inner); err != nil {
		return fault{}, fmt.Errorf("the inner form: %w", err)
	}
	id, _, _ := strings.Cut(inner.TrackingID, "-")
	return fault{number: inner.ErrorCode, tracking: id}, nil
}

// ok looks at an answer that has to be a good one.
func (a answer) ok(t *testing.T, status int) {
	t.Helper()
	if a.status != status {
		t.Errorf("%.120q is answered with %d, want %d: %.300q", a.request, a.status, status, a.body)
	}
}

// member is a member of the body, as it is written.
func (a answer) member(t *testing.T, name string) string {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &all); err != nil {
		t.Fatalf("%s: %v: %.200q", a.request, err, a.body)
	}
	if s, err := strconv.Unquote(string(all[name])); err == nil {
		return s
	}
	return string(all[name])
}

// stores are the buckets that operators write; what connections write is in
// others.
func stores() []string {
	return []string{"hub_devices", "hub_twins", "hub_policies", "hub_commands", "hub_jobs", "hub_jobrows", "hub_configurations"}
}

// snapshot is what is in the stores, but for the keys of innocents, and for the
// lease that a node renews: who writes there is no attacker.
func (g *target) snapshot(t *testing.T) map[string]uint64 {
	t.Helper()
	all := map[string]uint64{}
	for _, bucket := range stores() {
		kv, err := g.JS.KeyValue(t.Context(), bucket)
		if err != nil {
			continue // of a feature that this hub has not
		}
		watcher, err := kv.WatchAll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for e := range watcher.Updates() {
			if e == nil {
				break
			}
			if !strings.HasPrefix(e.Key(), "innocent") && e.Key() != "node.lease" {
				all[bucket+" "+e.Key()+" "+e.Operation().String()] = e.Revision()
			}
		}
		_ = watcher.Stop()
	}
	if s, err := g.JS.Stream(t.Context(), "HUB_C2D"); err == nil {
		if info, err := s.Info(t.Context()); err == nil {
			all["HUB_C2D"] = info.State.Msgs
		}
	}
	return all
}

// unchanged compares the stores with what they were.
func (g *target) unchanged(t *testing.T, before map[string]uint64) {
	t.Helper()
	after := g.snapshot(t)
	for key, revision := range after {
		if before[key] != revision {
			t.Errorf("%s is at revision %d, and was at %d", key, revision, before[key])
		}
	}
	for key := range before {
		if _, there := after[key]; !there {
			t.Errorf("%s is gone", key)
		}
	}
}

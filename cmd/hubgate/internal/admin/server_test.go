package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

const token = "0123456789abcdef-token"

// listener is an administrative listener that runs.
type listener struct {
	*Server

	url string
}

// serve starts a listener until the end of t.
func serve(t *testing.T, f AccessFiles) *listener {
	t.Helper()
	a, err := ReadAccess(f)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Version: map[string]string{"version": "v1.2.3"}, Log: zerolog.Nop()}
	s.Allow(a, false)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	scheme := "http://"
	if f.Cert != "" {
		scheme = "https://"
	}
	return &listener{s, scheme + ln.Addr().String()}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// asked is an answer.
type asked struct {
	status int
	body   string
	header http.Header
}

func (l *listener) get(t *testing.T, path string, change func(*http.Request)) asked {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return do(t, client, r)
}

func do(t *testing.T, client *http.Client, r *http.Request) asked {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return asked{resp.StatusCode, strings.TrimSpace(string(body)), resp.Header}
}

func bearer(text string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", text) }
}

func well(context.Context) (string, error) { return "all is well", nil }

func ill(context.Context) (string, error) { return "", errors.New("the leader is missing") }

// started is a node of which one check fails, if failing has its name.
func started(failing string) Node {
	var checks []Check
	for _, name := range []string{"nats", "streams", "index"} {
		c := Check{name, well}
		if name == failing {
			c.Look = ill
		}
		checks = append(checks, c)
	}
	return Node{Live: []Check{alive()}, Ready: checks, Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hubgate_metrics 1\n")
	})}
}

func TestProbes(t *testing.T) {
	l := serve(t, AccessFiles{})
	if got := l.get(t, "/livez", nil); got.status != 200 || got.body != "ok" {
		t.Errorf("a node that starts does not live: %v", got)
	}
	if got := l.get(t, "/readyz", nil); got.status != 503 || !strings.Contains(got.body, "[-]started failed: the node is starting") {
		t.Errorf("a node that starts: %v", got)
	}
	if got := l.get(t, "/metrics", nil); got.status != 503 {
		t.Errorf("metrics of a node that starts: %v", got)
	}
	l.Started(started(""))
	for path, want := range map[string]string{
		"/readyz":                     "ok",
		"/readyz?verbose":             "[+]nats ok: all is well\n[+]streams ok: all is well\n[+]index ok: all is well\nreadyz check passed",
		"/readyz/streams?verbose":     "[+]streams ok: all is well\nreadyz check passed",
		"/readyz?exclude=nats":        "[+]nats excluded: ok\n[+]streams ok: all is well\n[+]index ok: all is well\nreadyz check passed",
		"/livez?verbose":              "[+]ping ok: the process answers\nlivez check passed",
		"/readyz?verbose=json":        `{"status":"passed","checks":[{"name":"nats","ok":true,"message":"all is well"},{"name":"streams","ok":true,"message":"all is well"},{"name":"index","ok":true,"message":"all is well"}]}`,
		"/metrics":                    "hubgate_metrics 1",
		"/version":                    `{"version":"v1.2.3"}`,
		"/readyz?exclude=typo,index":  "[+]nats ok: all is well\n[+]streams ok: all is well\n[+]index excluded: ok\nwarn: there is no check \"typo\" to exclude: there are nats, streams, index\nreadyz check passed",
		"/readyz/index?exclude=index": "[+]index excluded: ok\nreadyz check passed",
	} {
		if got := l.get(t, path, nil); got.status != 200 || got.body != want {
			t.Errorf("%s: %d %s\nwant %s", path, got.status, got.body, want)
		}
	}
	l.Started(started("streams"))
	for path, want := range map[string]string{
		"/readyz":         "[+]nats ok: all is well\n[-]streams failed: the leader is missing\n[+]index ok: all is well\nreadyz check failed",
		"/readyz/streams": "[-]streams failed: the leader is missing\nreadyz check failed",
	} {
		if got := l.get(t, path, nil); got.status != 503 || got.body != want {
			t.Errorf("%s: %d %s\nwant %s", path, got.status, got.body, want)
		}
	}
	var report struct {
		Status string
		Checks []Result
	}
	got := l.get(t, "/readyz", func(r *http.Request) { r.Header.Set("Accept", "application/json") })
	if err := json.Unmarshal([]byte(got.body), &report); err != nil || got.status != 503 || report.Status != "failed" || len(report.Checks) != 3 || report.Checks[1].OK {
		t.Errorf("%v: %v", got, err)
	}
	if got := l.get(t, "/readyz?exclude=streams", nil); got.status != 200 {
		t.Errorf("without the check that fails: %v", got)
	}
}

func TestBadRequests(t *testing.T) {
	l := serve(t, AccessFiles{})
	l.Started(started(""))
	for name, c := range map[string]struct {
		path   string
		change func(*http.Request)
		status int
		says   string
	}{
		"path":         {"/healthz", nil, 404, "/readyz"},
		"slash":        {"/livez/", nil, 404, "nothing at this path"},
		"check":        {"/readyz/natz", nil, 404, "there are nats, streams, index"},
		"parameter":    {"/readyz?exlude=nats", nil, 400, "exclude=CHECK"},
		"query":        {"/readyz?exclude=%zz", nil, 400, "can't be read"},
		"verb":         {"/readyz", func(r *http.Request) { r.Method = http.MethodPost }, 405, "GET and HEAD"},
		"delete":       {"/metrics", func(r *http.Request) { r.Method = http.MethodDelete }, 405, "GET and HEAD"},
		"host":         {"/metrics", func(r *http.Request) { r.Host = "rebound.example:80" }, 421, "localhost"},
		"pprof":        {"/debug/pprof/", nil, 404, "admin.pprof"},
		"pprof, below": {"/debug/pprof/heap", nil, 404, "admin.pprof"},
		"traversal":    {"/../metrics", nil, 404, "nothing at this path"},
	} {
		if got := l.get(t, c.path, c.change); got.status != c.status || !strings.Contains(got.body, c.says) {
			t.Errorf("%s: %d %q, want %d with %q", name, got.status, got.body, c.status, c.says)
		}
	}
	if got := l.get(t, "/metrics", func(r *http.Request) { r.Method = http.MethodPut }); got.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("405 has Allow: %q", got.header.Get("Allow"))
	}
	for _, host := range []string{"localhost:9610", "LOCALHOST", "127.0.0.1:9610", "[::1]:9610"} {
		if got := l.get(t, "/livez", func(r *http.Request) { r.Host = host }); got.status != 200 {
			t.Errorf("asked as %s: %v", host, got)
		}
	}
}

func TestToken(t *testing.T) {
	l := serve(t, AccessFiles{Token: file(t, token+"\n")})
	l.Started(started("streams"))
	l.Allow(l.access.Load(), true)
	for _, path := range []string{"/metrics", "/version", "/", "/debug/pprof/", "/debug/pprof/heap", "/nothing"} {
		for header, want := range map[string]int{
			"": 401, "Bearer": 401, "Bearer wrong": 401, "Bearer " + token[1:]: 401, "Basic " + token: 401, token: 401, "Bearer " + token + "x": 401,
		} {
			got := l.get(t, path, bearer(header))
			if got.status != want || got.header.Get("WWW-Authenticate") == "" || strings.Contains(got.body, "hubgate_") {
				t.Errorf("%s with %q: %v", path, header, got)
			}
		}
		if got := l.get(t, path, bearer("bearer "+token)); got.status == 401 {
			t.Errorf("%s with the token: %v", path, got)
		}
	}
	// A probe says yes or no to anybody, and to nobody why.
	for path, want := range map[string]string{"/readyz": "readyz check failed", "/readyz?verbose=json": "readyz check failed", "/livez?verbose": "ok", "/readyz/streams": "readyz check failed", "/readyz/secret": "readyz check failed"} {
		if got := l.get(t, path, nil); got.body != want {
			t.Errorf("%s without the token: %v", path, got)
		}
	}
	if got := l.get(t, "/readyz", bearer("Bearer wrong")); got.status != 401 {
		t.Errorf("a probe with a wrong token: %v", got)
	}
	if got := l.get(t, "/readyz", bearer("Bearer "+token)); !strings.Contains(got.body, "the leader is missing") {
		t.Errorf("a probe with the token: %v", got)
	}
	// Another token, as after a reload.
	a, err := ReadAccess(AccessFiles{Token: file(t, "another-token-of-length")})
	if err != nil {
		t.Fatal(err)
	}
	l.Allow(a, true)
	if got := l.get(t, "/metrics", bearer("Bearer "+token)); got.status != 401 {
		t.Errorf("the old token: %v", got)
	}
	if got := l.get(t, "/metrics", bearer("Bearer another-token-of-length")); got.status != 200 {
		t.Errorf("the new token: %v", got)
	}
}

func TestProfiles(t *testing.T) {
	l := serve(t, AccessFiles{})
	l.Started(started(""))
	l.Allow(l.access.Load(), true)
	if got := l.get(t, "/debug/pprof/", nil); got.status != 200 || !strings.Contains(got.body, "goroutine?debug=1") || strings.Contains(got.body, "cmdline") {
		t.Errorf("%v", got)
	}
	for path, status := range map[string]int{
		"/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/heap": 200, "/debug/pprof/trace?seconds=1": 200, "/debug/pprof/profile?seconds=1": 200,
		"/debug/pprof/cmdline": 404, "/debug/pprof/symbol": 404, "/debug/pprof/nothing": 404, "/debug/pprof/profile?seconds=100000": 400, "/debug/pprof/trace?seconds=-1": 400, "/debug/pprof/profile?seconds=0.5": 400,
	} {
		if got := l.get(t, path, nil); got.status != status || strings.Contains(got.body, os.Args[0]+"\x00") {
			t.Errorf("%s: %d, want %d: %.200s", path, got.status, status, got.body)
		}
	}
}

func TestReadAccessRefuses(t *testing.T) {
	const secret = "short-secret"
	for name, f := range map[string]AccessFiles{
		"short":        {Token: file(t, secret)},
		"two words":    {Token: file(t, secret+" and more of it")},
		"empty":        {Token: file(t, "")},
		"missing":      {Token: "/nowhere/token"},
		"no cert":      {Cert: file(t, secret), Key: file(t, secret)},
		"no authority": {ClientCAs: []string{file(t, secret)}},
		"no CA file":   {ClientCAs: []string{"/nowhere/ca.pem"}},
	} {
		if _, err := ReadAccess(f); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, f := range []AccessFiles{{Token: file(t, token)}, {}} {
		if _, err := ReadAccess(f); err != nil {
			t.Error(err)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert, key := ca.issue(t, "127.0.0.1")
	l := serve(t, AccessFiles{Cert: cert, Key: key, ClientCAs: []string{ca.file}})
	l.Started(started(""))
	ask := func(pairs ...tls.Certificate) (asked, error) {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: ca.pool(), Certificates: pairs}, DisableKeepAlives: true,
		}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			return asked{}, err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return asked{resp.StatusCode, string(body), resp.Header}, nil
	}
	if got, err := ask(ca.pair(t, "prometheus")); err != nil || got.status != 200 {
		t.Errorf("with a certificate: %v %v", got, err)
	}
	if got, err := ask(); err != nil || got.status != 401 {
		t.Errorf("without one: %v %v", got, err)
	}
	if got, err := ask(other.pair(t, "stranger")); err == nil && got.status == 200 {
		t.Errorf("with another authority's: %v", got)
	}
}

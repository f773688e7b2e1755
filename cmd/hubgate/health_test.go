package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHealthcheck asks listeners that say yes, that say no and why, that speak
// TLS, that are not there, and that there can't be.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/livez" {
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("[-]nats failed: no connection\n"))
	})
	plain, secure := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer plain.Close()
	defer secure.Close()
	gone := httptest.NewServer(answer)
	gone.Close()
	address := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	_, port, _ := strings.Cut(address(plain), ":")
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"lives":           {[]string{"--live", "--address", address(plain)}, exitOK, "ok"},
		"lives, with TLS": {[]string{"--live", "--address", address(secure)}, exitOK, "ok"},
		"lives, in JSON":  {[]string{"--live", "--address", address(plain), "-o", "json"}, exitOK, `{"ok":true}`},
		"everywhere":      {[]string{"--live", "--address", "0.0.0.0:" + port}, exitOK, "ok"},
		"not ready":       {[]string{"--address", address(plain)}, exitUnavailable, "nats failed: no connection"},
		"nobody":          {[]string{"--address", address(gone)}, exitUnavailable, "does the node run"},
		"none":            {[]string{"--address", "none"}, exitUsage, "no administrative listener"},
	} {
		r := hubgate(t, nil, append([]string{"healthcheck"}, tc.args...)...)
		if r.code != tc.code || !strings.Contains(r.out+r.err, tc.says) {
			t.Errorf("%s: got exit code %d, %s%s, want %d and %q", name, r.code, r.out, r.err, tc.code, tc.says)
		}
	}
}

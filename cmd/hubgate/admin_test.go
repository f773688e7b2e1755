package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/internal/pki"
)

// TestBindAdmin takes the port of the administrative listener away: a node that was
// told to have it does not start, and one that was told nothing goes without.
func TestBindAdmin(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	told, err := config.Load(config.Source{Settings: []config.Setting{{Path: "admin.listen", Origin: "--admin-listen", Values: []string{taken.Addr().String()}}}})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := bindAdmin(t.Context(), told, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "is taken") || all != nil {
		t.Errorf("a port that was asked for: %v, %v", all, err)
	}
	untold := config.Default()
	untold.Admin.Listen = taken.Addr().String()
	var log strings.Builder
	if all, err := bindAdmin(t.Context(), untold, zerolog.New(&log)); err != nil || len(all) > 0 || !strings.Contains(log.String(), "no administrative listener") {
		t.Errorf("a port that nobody asked for: %v, %v, %s", all, err, log.String())
	}
	untold.Admin.Listen = config.AdminNone
	if all, err := bindAdmin(t.Context(), untold, zerolog.Nop()); err != nil || len(all) > 0 {
		t.Errorf("none: %v, %v", all, err)
	}
	untold.Admin.Listen = "127.0.0.1:0"
	all, err := bindAdmin(t.Context(), untold, zerolog.Nop())
	if err != nil || len(all) != 1 || portOf(all[0]) == 0 {
		t.Errorf("any free port: %v, %v", all, err)
	}
	closeAll(all)
}

// TestAdminStaysClosed: a configuration that moves the listener to loopback, where nobody
// has to show anything, is for the next start. The listener that is there goes on to ask.
func TestAdminStaysClosed(t *testing.T) {
	t.Parallel()
	token := write(t, t.TempDir(), "admin.token", strings.Repeat("t", 32))
	running, next := config.Default(), config.Default()
	running.Admin = config.Admin{Listen: "0.0.0.0:9610", TokenFile: token}
	next.Admin.Listen = "127.0.0.1:9610"
	n := &node{cfg: running, log: zerolog.Nop(), failed: make(chan error, 1)}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // in place of all addresses
	if err != nil {
		t.Fatal(err)
	}
	if err := n.serveAdmin(&listeners{admin: []net.Listener{ln}}); err != nil {
		t.Fatal(err)
	}
	defer n.stop()
	part := n.adminPart()
	if _, err := part.Apply(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	if _, err := part.Apply(t.Context(), next); err == nil || !strings.Contains(err.Error(), "0.0.0.0:9610 until the next start") {
		t.Errorf("the reload says %v", err)
	}
	answer, err := http.Get("http://" + ln.Addr().String() + "/version")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token there is status %d", answer.StatusCode)
	}
}

func TestCheckCertificates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cert := func(name string, left time.Duration) tls.Certificate {
		return tls.Certificate{Leaf: &x509.Certificate{DNSNames: []string{name}, NotAfter: now.Add(left)}}
	}
	for name, tt := range map[string]struct {
		shown []tls.Certificate
		good  bool
	}{
		"good":                      {[]tls.Certificate{cert("h.example", time.Hour)}, true},
		"expired":                   {[]tls.Certificate{cert("h.example", -time.Hour)}, false},
		"one of two":                {[]tls.Certificate{cert("h.example", -time.Hour), cert("h.example", time.Hour)}, true},
		"another name's is good":    {[]tls.Certificate{cert("h.example", -time.Hour), cert("alias.example", time.Hour)}, false},
		"another name's is expired": {[]tls.Certificate{cert("h.example", time.Hour), cert("alias.example", -time.Hour)}, true},
		"of another name alone":     {[]tls.Certificate{cert("alias.example", time.Hour)}, true},
		"wildcard":                  {[]tls.Certificate{cert("*.example", time.Hour)}, true},
	} {
		n := &node{cfg: &config.Config{Hub: config.Hub{Host: "h.example"}}, certs: &certificates{shown: pki.Show(tt.shown)}}
		if text, err := n.checkCertificates(t.Context()); (err == nil) != tt.good || err == nil && !strings.Contains(text, "good until") {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// TestDrainingBeginsWithTheStop: a node is not ready from the first step of its stop
// on, when its listeners are still open.
func TestDrainingBeginsWithTheStop(t *testing.T) {
	t.Parallel()
	n := &node{cfg: config.Default(), log: zerolog.Nop(), gateway: &gateway.Server{}}
	if n.draining() {
		t.Error("a node that runs is draining")
	}
	seen := false
	n.onStop(func(context.Context) { seen = n.draining() && !n.gateway.Draining() })
	if n.stop(); !seen {
		t.Error("a node that has begun to stop is ready")
	}
}

package embedded_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// secureCenter is a NATS that takes leaves by TLS, and only with a password. It
// returns the port.
func secureCenter(t *testing.T, authority *trusttest.Pair) int {
	t.Helper()
	leaf := authority.Leaf(t, "center", func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	s, err := server.NewServer(&server.Options{
		ServerName: "center", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		LeafNode: server.LeafNodeOpts{
			Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "edge", Password: "pass",
			TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{leaf.TLS()}}, TLSTimeout: 5,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the center is not ready")
	}
	v, err := s.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return v.LeafNode.Port
}

// linking starts a server with a link, and returns what it logs.
func linking(t *testing.T, leaf embedded.Leaf) (*embedded.Server, *lines) {
	t.Helper()
	log := &lines{}
	s, err := embedded.Start(testContext(t), embedded.Config{DataDir: t.TempDir(), Domain: "plant7", Leaf: leaf, Log: zerolog.New(log)})
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s, log
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for ctx := testContext(t); !condition(); {
		select {
		case <-time.After(10 * time.Millisecond): // nobody tells
		case <-ctx.Done():
			t.Fatalf("waited for %s", what)
		}
	}
}

// TestLeafOverTLS links to whom its authority vouches for, and to nobody else.
func TestLeafOverTLS(t *testing.T) {
	t.Parallel()
	authority := trusttest.Root(t, "center CA")
	port := secureCenter(t, authority)
	file := func(p *trusttest.Pair) string {
		name := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(name, p.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	link := fmt.Sprintf("tls://edge:pass@127.0.0.1:%d", port)
	for name, leaf := range map[string]embedded.Leaf{
		"tls":           {URL: link, CAFile: file(authority)},
		"by the CA":     {URL: strings.Replace(link, "tls:", "nats:", 1), CAFile: file(authority)},
		"no leaf first": {URL: "nats://127.0.0.1:1," + link, CAFile: file(authority)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := linking(t, leaf)
			eventually(t, "the link", s.Linked)
		})
	}
	for name, leaf := range map[string]embedded.Leaf{
		"another authority": {URL: link, CAFile: file(trusttest.Root(t, "other CA"))},
		"the system's":      {URL: link},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, log := linking(t, leaf)
			eventually(t, "the refusal", func() bool { return strings.Contains(log.String(), "unknown authority") })
			if s.Linked() || strings.Contains(log.String(), "edge:pass") {
				t.Errorf("linked: %v; log:\n%s", s.Linked(), log)
			}
		})
	}
}

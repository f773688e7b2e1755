package main

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/hubgate/hubgate/trust/trusttest"
)

// A NATS that answers with a certificate of somebody whom nobody trusts does answer, and
// another attempt comes to the same.
func TestNATSThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		TLS: true, TLSConfig: &tls.Config{Certificates: []tls.Certificate{trusttest.SelfSigned(t, "nats").TLS()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("NATS is not ready")
	}
	r := hubgate(t, nil, "device", "list", "--nats", s.ClientURL())
	if r.code != exitUsage {
		t.Errorf("got exit code %d", r.code)
	}
	wantAll(t, r.err, "the certificate of NATS at "+s.ClientURL()+" is not trusted", "nats.ca")
}

package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/trust/trusttest"
)

// createX509 makes a device or module that authenticates by certificate.
func (g *gateway) createX509(id string, flags ...string) identity {
	g.t.Helper()
	kind := "device"
	if strings.Contains(id, "/") {
		kind = "module"
	}
	var who identity
	text := g.cli(append(append([]string{kind, "create", "-o", "json"}, flags...), "--", id)...)
	if err := json.Unmarshal(text, &who); err != nil {
		g.t.Fatalf("read what %s create prints: %v\n%s", kind, err, text)
	}
	return who
}

// shows are the arguments of open by which a client shows a certificate, with
// those above it.
func shows(t *testing.T, p *trusttest.Pair, above ...*trusttest.Pair) args {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, text := range map[string][]byte{cert: p.PEM(above...), key: p.KeyPEM(t)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return args{"certFile": cert, "keyFile": key, "noRetry": true}
}

// sendsByCertificate connects an identity, as soon as the gateway has heard of its
// CA, sends from it, and returns the name of the client.
func sendsByCertificate(t *testing.T, g *gateway, s *sdk, d *driver, id string, who identity, show args) string {
	t.Helper()
	client := ""
	deadline := time.Now().Add(patience)
	for n := 0; ; n++ {
		client = fmt.Sprintf("%s %d", id, n)
		err := d.try("open", client, s.open(g, id, who.ConnectionString, show))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("open %s: %v", client, err)
		}
	}
	m := s.adapt(id, message{Body: []byte("by certificate"), MessageID: "1"})
	d.do("send", client, args{"message": m})
	compare(t, id, who, []message{m}, g.messages(id, 1))
	return client
}

// awaitCut waits until a client notices that its connection has ended, and until
// the hub has said why.
func awaitCut(g *gateway, d *driver, id, client, why string) {
	d.t.Helper()
	d.await("disconnect of "+client, func(l line) bool { return l.Client == client && l.Event == "disconnected" })
	g.awaitEnd(id, "disconnect because of "+why, func(e event) bool { return strings.Contains(e.Reason, why) })
}

// wantUnauthorized checks that a certificate is refused by the error that the SDK
// has for it.
func wantUnauthorized(t *testing.T, g *gateway, s *sdk, d *driver, id string, who identity, show args) {
	t.Helper()
	err := d.try("open", "refused "+id, s.open(g, id, who.ConnectionString, show))
	if err == nil || !slices.Contains(err.Chain, s.unauthorized) {
		t.Errorf("%s: the SDK raised %v, want %s", id, err, s.unauthorized)
	}
}

// x509Thumbprint connects a device by a certificate that it has made itself, until
// another one is registered.
func x509Thumbprint(t *testing.T, g *gateway, s *sdk) {
	id := deviceName(t)
	first, second := trusttest.SelfSigned(t, "any name"), trusttest.SelfSigned(t, "any name")
	showFirst, showSecond := shows(t, first), shows(t, second)
	who := g.createX509(id, "--certificate", showFirst["certFile"].(string))
	d := s.start(t)
	wantUnauthorized(t, g, s, d, id, who, showSecond)
	client := sendsByCertificate(t, g, s, d, id, who, showFirst)
	g.cli("device", "set-auth", "--certificate", showSecond["certFile"].(string), "--", id)
	awaitCut(g, d, id, client, "thumbprint")
	wantUnauthorized(t, g, s, d, id, who, showFirst)
	again := id + " again"
	d.do("open", again, s.open(g, id, who.ConnectionString, showSecond))
	d.do("close", again, nil)
}

// x509Authority connects a device, and a module where the SDK can, by a certificate
// of an intermediate CA below one that the hub knows, until it does not any more.
func x509Authority(t *testing.T, g *gateway, s *sdk) {
	device := deviceName(t)
	root := trusttest.Root(t, "root of "+device)
	below := root.CA(t, "line of "+device)
	ca := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(ca, root.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	g.cli("authority", "add", "--verified", device, ca)
	ids := []string{device}
	if s.x509Modules {
		ids = append(ids, device+"/mod.1")
	}
	d := s.start(t)
	clients := map[string]string{}
	for _, id := range ids {
		who := g.createX509(id, "--auth", "ca")
		wantUnauthorized(t, g, s, d, id, who, shows(t, below.Leaf(t, id))) // its issuer did not come along
		wantUnauthorized(t, g, s, d, id, who, shows(t, below.Leaf(t, id+"x"), below))
		wantUnauthorized(t, g, s, d, id, who, shows(t, trusttest.Root(t, "root of "+device).Leaf(t, id)))
		clients[id] = sendsByCertificate(t, g, s, d, id, who, shows(t, below.Leaf(t, id), below))
	}
	g.cli("authority", "remove", device)
	for id, client := range clients {
		awaitCut(g, d, id, client, "no longer trusted")
	}
}

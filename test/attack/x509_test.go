package attack

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/trust"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// createAs makes a device or module that shows a certificate.
func (g *target) createAs(t *testing.T, id string, how identity.Authentication) *device {
	t.Helper()
	who, err := hub.ParseIdentity(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.client.Registry().Create(t.Context(), identity.Record{ID: who, Authentication: how}); err != nil {
		t.Fatalf("create %s: %v", id, err)
	}
	return &device{g: g, id: who}
}

// register has the gateway know an authority.
func (g *target) register(t *testing.T, name string, ca *trusttest.Pair, verified bool) {
	t.Helper()
	a := trust.Authority{Name: name, Certificate: ca.Cert.Raw, Verified: verified}
	if _, err := g.client.Authorities().Add(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// showing opens a connection of TLS with a certificate.
func showing(t *testing.T, g *target, config *tls.Config, c tls.Certificate) *peer {
	t.Helper()
	config = config.Clone()
	// Sent whatever the server asks for.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	secure := tls.Client(dialPlain(t, g, mqttPort).Conn, config)
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatalf("TLS handshake: %v", err)
	}
	return newPeer(t, secure)
}

// bare is the CONNECT of a device without a token.
func (d *device) bare() *mqtt.Connect {
	hello := d.hello()
	hello.HasPassword, hello.Password = false, nil
	return hello
}

func names(cn ...string) trusttest.Edit {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{}
		for _, n := range cn {
			c.Subject.ExtraNames = append(c.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: n})
		}
	}
}

func usage(u x509.KeyUsage) trusttest.Edit { return func(c *x509.Certificate) { c.KeyUsage = u } }

func purpose(u ...x509.ExtKeyUsage) trusttest.Edit {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

func asCA(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign }

func pathLength(n int) trusttest.Edit {
	return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
}

// TestCertificateTricks shows certificates that are not the device's, or not
// good: CONNACK 5, and the timeline says what is wrong with which certificate.
func TestCertificateTricks(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	root, pending := trusttest.Root(t, "Plant"), trusttest.Root(t, "Pending")
	evil, twin := trusttest.Root(t, "Evil"), trusttest.Root(t, "Plant") // another key by the same name
	g.register(t, "plant", root, true)
	g.register(t, "pending", pending, false)
	line := root.CA(t, "Line", pathLength(0))
	own := trusttest.SelfSigned(t, "self")
	d := g.createAs(t, "pump7", identity.Authentication{Type: identity.AuthCA})
	module := g.createAs(t, "pump7/mod", identity.Authentication{Type: identity.AuthCA})
	self := g.createAs(t, "self", identity.Authentication{
		Type: identity.AuthSelfSigned, X509Thumbprint: identity.Thumbprints{PrimaryThumbprint: trust.Thumbprint(own.Cert)},
	})
	token := g.create(t, "token")
	steady := d.byCertificate(t, g, line.Leaf(t, "pump7").TLS(line))

	now := time.Now()
	past, future := trusttest.Valid(now.Add(-2*time.Hour), now.Add(-time.Hour)), trusttest.Valid(now.Add(time.Hour), now.Add(2*time.Hour))
	other := root.Leaf(t, "pump8")
	old, sub := root.CA(t, "Old line", past), line.CA(t, "Below line")
	long := []*trusttest.Pair{root.CA(t, "1")}
	for i := range 10 {
		long = append([]*trusttest.Pair{long[0].CA(t, string(rune('a'+i)))}, long...)
	}
	server := root.CA(t, "Servers", purpose(x509.ExtKeyUsageServerAuth))
	mute := root.CA(t, "Mute", usage(x509.KeyUsageCRLSign))
	const isFor, trusted = "is for", "no CA that the hub trusts"
	for name, c := range map[string]struct {
		device *device
		shown  tls.Certificate
		words  string
	}{
		"of another CA":                       {d, evil.Leaf(t, "pump7").TLS(), trusted},
		"of another CA, which came along":     {d, evil.Leaf(t, "pump7").TLS(evil), trusted},
		"of a CA of the same name":            {d, twin.Leaf(t, "pump7").TLS(), "another CA has the same name"},
		"of a CA of the same name, sent too":  {d, twin.Leaf(t, "pump7").TLS(twin), "another CA has the same name"},
		"and the trusted CA behind it":        {d, twin.Leaf(t, "pump7").TLS(root), "not signed by it"},
		"of a CA that is not verified":        {d, pending.Leaf(t, "pump7").TLS(), "is not verified yet"},
		"of nobody":                           {d, trusttest.SelfSigned(t, "pump7").TLS(), trusted},
		"of nobody, with the CA behind it":    {d, trusttest.SelfSigned(t, "pump7").TLS(root), trusted},
		"the CA itself":                       {d, root.TLS(), isFor},
		"for another device":                  {d, other.TLS(), isFor},
		"for its module":                      {d, root.Leaf(t, "pump7/mod").TLS(), isFor},
		"for the device of the module":        {module, root.Leaf(t, "pump7").TLS(), isFor},
		"for a device that begins so":         {d, root.Leaf(t, "pump70").TLS(), isFor},
		"in another case":                     {d, root.Leaf(t, "PUMP7").TLS(), isFor},
		"with a space":                        {d, root.Leaf(t, "pump7 ").TLS(), isFor},
		"with a Cyrillic u":                   {d, root.Leaf(t, "pυmp7").TLS(), isFor},
		"with NUL":                            {d, root.Leaf(t, "pump7\x00.evil").TLS(), isFor},
		"with a new line":                     {d, root.Leaf(t, "pump7\r\n").TLS(), isFor},
		"with two names, its own first":       {d, root.Leaf(t, "", names("pump7", "pump8")).TLS(), isFor},
		"with two names, its own last":        {d, root.Leaf(t, "", names("pump8", "pump7")).TLS(), isFor},
		"without a name":                      {d, root.Leaf(t, "", names()).TLS(), isFor},
		"with its name elsewhere":             {d, root.Leaf(t, "", names(), func(c *x509.Certificate) { c.DNSNames = []string{"pump7"} }).TLS(), isFor},
		"with a name of 10,000 bytes":         {d, root.Leaf(t, strings.Repeat("x", 10_000)).TLS(), isFor},
		"expired":                             {d, root.Leaf(t, "pump7", past).TLS(), "expired at"},
		"not valid yet":                       {d, root.Leaf(t, "pump7", future).TLS(), "is valid from"},
		"that is a CA":                        {d, root.Leaf(t, "pump7", asCA).TLS(), "CA:TRUE"},
		"for servers":                         {d, root.Leaf(t, "pump7", purpose(x509.ExtKeyUsageServerAuth)).TLS(), "not for clients"},
		"to encrypt with":                     {d, root.Leaf(t, "pump7", usage(x509.KeyUsageKeyEncipherment)).TLS(), "may not sign"},
		"issued by another device":            {d, other.Leaf(t, "pump7").TLS(other), "not that of a CA"},
		"of an intermediate that is not sent": {d, line.Leaf(t, "pump7").TLS(), "did not come along"},
		"of an expired intermediate":          {d, old.Leaf(t, "pump7").TLS(old), "expired at"},
		"below the path length":               {d, sub.Leaf(t, "pump7").TLS(sub, line), "path length"},
		"of a CA for servers":                 {d, server.Leaf(t, "pump7").TLS(server), "extended key usage"},
		"of a CA that may not issue":          {d, mute.Leaf(t, "pump7").TLS(mute), "keyCertSign"},
		"with 11 CAs behind it":               {d, long[0].Leaf(t, "pump7").TLS(long...), "10 at most"},
		"with itself nine times":              {d, evil.Leaf(t, "pump7").TLS(evil, evil, evil, evil, evil, evil, evil, evil, evil), trusted},
		"by thumbprint, same name":            {self, trusttest.SelfSigned(t, "self").TLS(), "neither of those registered"},
		"by thumbprint, of a trusted CA":      {self, root.Leaf(t, "self").TLS(), "neither of those registered"},
		"by thumbprint, the right one second": {self, trusttest.SelfSigned(t, "self").TLS(own), "neither of those registered"},
		"of a device with tokens":             {token, root.Leaf(t, "token").TLS(), "SAS token"},
	} {
		t.Run(name, func(t *testing.T) {
			p := showing(t, g, g.tls, c.shown)
			if code, err := p.ask(c.device.bare()); err != nil || code != 5 {
				t.Fatalf("CONNACK %d, %v, want 5", code, err)
			}
			g.told(t, p, c.device.id, hub.Unauthorized, c.words)
		})
	}
	t.Run("a token in place of a certificate", func(t *testing.T) {
		hello := d.hello()
		hello.Password = []byte(forge(d.sr(), inAnHour(), g.policies["iothubowner"], "iothubowner"))
		refused(t, g, d.id, hello, hub.Unauthorized, "authenticates by certificate")
	})
	if err := steady.publish(d.events(""), "still here"); err != nil {
		t.Errorf("the device that was attacked was disturbed: %v", err)
	}
	w.finish(t)
}

// byCertificate connects a device that gets in, as soon as the gateway knows who
// vouches for it.
func (d *device) byCertificate(t *testing.T, g *target, c tls.Certificate) (p *peer) {
	t.Helper()
	g.await(t, "welcome of "+d.id.String(), func() bool {
		p = showing(t, g, g.tls, c)
		code, err := p.ask(d.bare())
		return err == nil && code == 0
	})
	return p
}

// TestStolenCertificate has a certificate and not its key, which TLS finds out;
// and a TLS session of one device, to be resumed as another.
func TestStolenCertificate(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	root := trusttest.Root(t, "Plant")
	g.register(t, "plant", root, true)
	d := g.createAs(t, "pump7", identity.Authentication{Type: identity.AuthCA})
	victim := g.createAs(t, "pump8", identity.Authentication{Type: identity.AuthCA})
	stolen, good := root.Leaf(t, "pump8").TLS(), root.Leaf(t, "pump7").TLS()
	stolen.PrivateKey = good.PrivateKey
	p := dialPlain(t, g, mqttPort)
	config := g.tls.Clone()
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stolen, nil }
	secure := newPeer(t, tls.Client(p.Conn, config))
	if code, err := secure.ask(victim.bare()); err == nil {
		t.Errorf("CONNACK %d without the key", code)
	}
	g.told(t, p, victim.id, hub.ConnectionLost, "TLS handshake failed")

	resuming := g.tls.Clone()
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	d.byCertificate(t, g, good)
	first := showing(t, g, resuming, good)
	first.welcomed(t, d.bare())
	second := showing(t, g, resuming, root.Leaf(t, "pump8").TLS()) // which a resumed session does not show
	if !second.Conn.(*tls.Conn).ConnectionState().DidResume {
		t.Error("the TLS session was not resumed")
	}
	if code, err := second.ask(victim.bare()); err != nil || code != 5 {
		t.Errorf("a resumed session as another device: CONNACK %d, %v, want 5", code, err)
	}
	g.told(t, second, victim.id, hub.Unauthorized, "is for")
	if err := g.client.Authorities().Delete(t.Context(), "plant", "*"); err != nil {
		t.Fatal(err)
	}
	if _, err := first.receive(); !isClosed(err) {
		t.Errorf("the CA is gone, and its device: %v", err)
	}
	third := showing(t, g, resuming, good)
	if code, err := third.ask(d.bare()); err != nil || code != 5 {
		t.Errorf("a resumed session of a CA that is gone: CONNACK %d, %v, want 5", code, err)
	}
	g.told(t, third, d.id, hub.Unauthorized, "trusts")
	w.finish(t)
}

// TestThumbprintCase registers digests in every spelling: the certificate gets
// in, and one that differs in a bit does not.
func TestThumbprintCase(t *testing.T) {
	g := start(t)
	own := trusttest.SelfSigned(t, "anything")
	short, long := sha1.Sum(own.Cert.Raw), sha256.Sum256(own.Cert.Raw)
	for name, digest := range map[string]string{
		"sha1-lower": hex.EncodeToString(short[:]), "sha1-upper": strings.ToUpper(hex.EncodeToString(short[:])),
		"sha256-lower": hex.EncodeToString(long[:]), "sha256-upper": strings.ToUpper(hex.EncodeToString(long[:])),
	} {
		prints := identity.Thumbprints{PrimaryThumbprint: digest}
		if name == "sha1-upper" {
			prints = identity.Thumbprints{PrimaryThumbprint: strings.Repeat("0", 40), SecondaryThumbprint: digest}
		}
		d := g.createAs(t, name, identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: prints})
		if err := d.byCertificate(t, g, own.TLS()).publish(d.events(""), "x"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		last := "0"
		if strings.HasSuffix(digest, "0") {
			last = "1"
		}
		near := g.createAs(t, name+"-near", identity.Authentication{
			Type: identity.AuthSelfSigned, X509Thumbprint: identity.Thumbprints{PrimaryThumbprint: digest[:len(digest)-1] + last},
		})
		p := showing(t, g, g.tls, own.TLS())
		if code, err := p.ask(near.bare()); err != nil || code != 5 {
			t.Errorf("%s, one digit wrong: CONNACK %d, %v", name, code, err)
		}
		g.told(t, p, near.id, hub.Unauthorized, "neither of those registered")
	}
}

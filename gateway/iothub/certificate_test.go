package iothub

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/telemetry"
	"github.com/hubgate/hubgate/trust"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// plant is a hub with devices that show certificates, and what they show.
type plant struct {
	*Face

	devices    fleet
	sink       *sink
	root, line *trusttest.Pair // the hub's CA, and one below it
	first, two *trusttest.Pair // dev1's self-signed certificates
}

// newPlant returns a hub with self (by thumbprint: the SHA-1 of first and the
// SHA-256 of two), ca and ca/mod (by CA), bare (without a thumbprint) and those
// of newFace.
func newPlant(t *testing.T) *plant {
	t.Helper()
	f, devices, s := newFace()
	root := trusttest.Root(t, "root")
	p := &plant{
		Face: f, devices: devices, sink: s, root: root, line: root.CA(t, "line"),
		first: trusttest.SelfSigned(t, "whatever"), two: trusttest.SelfSigned(t, "self"),
	}
	f.Trust = &trust.Pool{}
	p.register(root)
	for _, id := range []string{"ca", "ca/mod", "CA2"} {
		p.add(id, identity.Authentication{Type: identity.AuthCA})
	}
	two := sha256.Sum256(p.two.Cert.Raw)
	p.add("self", identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: identity.Thumbprints{
		PrimaryThumbprint: strings.ToLower(trust.Thumbprint(p.first.Cert)), SecondaryThumbprint: strings.ToUpper(hex.EncodeToString(two[:])),
	}})
	p.add("bare", identity.Authentication{Type: identity.AuthSelfSigned})
	return p
}

func (p *plant) register(authorities ...*trusttest.Pair) {
	var all []trust.Authority
	for _, a := range authorities {
		all = append(all, trust.Authority{Name: "a", Certificate: a.Cert.Raw, Verified: true})
	}
	p.Trust.SetRegistered(all)
}

func (p *plant) add(id string, auth identity.Authentication) {
	r := record(id, "", "")
	r.Authentication = auth
	p.devices[r.ID] = r
}

// token is dev1's token, or that of any device that has keys.
func (p *plant) token(t *testing.T, id string) string {
	t.Helper()
	return sas.Sign(sas.Resource(host, hub.Identity{Device: id}), p.devices.key(t, id, 0), time.Now().Add(time.Hour), "")
}

func (p *plant) come(t *testing.T, id, password string, chain []*x509.Certificate) (gateway.Admission, error) {
	t.Helper()
	return p.Admit(t.Context(), connectOf(id, host+"/"+id+"/?api-version=2021-04-12", password), gateway.Peer{Certificates: chain})
}

func TestAdmitByCertificate(t *testing.T) {
	p := newPlant(t)
	now := time.Now()
	old := trusttest.Valid(now.Add(-48*time.Hour), now.Add(-24*time.Hour))
	young := trusttest.Valid(now.Add(time.Hour), now.Add(24*time.Hour))
	expired, early := trusttest.SelfSigned(t, "d", old), trusttest.SelfSigned(t, "d", young)
	isCA := trusttest.Root(t, "as openssl req -x509 makes it")
	for id, cert := range map[string]*trusttest.Pair{"expired": expired, "early": early, "isca": isCA} {
		p.add(id, identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: identity.Thumbprints{PrimaryThumbprint: trust.Thumbprint(cert.Cert)}})
	}
	other := trusttest.Root(t, "root")
	sasToken := p.token(t, "dev1")
	for name, tc := range map[string]struct {
		id, password string
		chain        []*x509.Certificate
		want         string // of the refusal; empty: admitted
	}{
		"primary thumbprint, SHA-1, lower case":     {"self", "", p.first.Chain(), ""},
		"secondary thumbprint, SHA-256, upper case": {"self", "", p.two.Chain(), ""},
		"more than the certificate":                 {"self", "", p.two.Chain(p.root), ""},
		"thumbprint of a CA:TRUE certificate":       {"isca", "", isCA.Chain(), ""},
		"thumbprint and a token":                    {"self", sasToken, p.first.Chain(), ""},
		"CA":                                        {"ca", "", p.root.Leaf(t, "ca").Chain(), ""},
		"CA and intermediate":                       {"ca", "", p.line.Leaf(t, "ca").Chain(p.line), ""},
		"CA and a token":                            {"ca", sasToken, p.root.Leaf(t, "ca").Chain(), ""},
		"module":                                    {"ca/mod", "", p.root.Leaf(t, "ca/mod").Chain(), ""},
		"token and a certificate":                   {"dev1", sasToken, p.root.Leaf(t, "dev1").Chain(), ""},
		"token and garbage of a chain":              {"dev1", sasToken, other.Leaf(t, "x").Chain(), ""},

		"another thumbprint":         {"self", "", trusttest.SelfSigned(t, "self").Chain(), "neither of those registered for self"},
		"the right one behind":       {"self", "", trusttest.SelfSigned(t, "self").Chain(p.first), "neither of those registered"},
		"no thumbprint registered":   {"bare", "", p.first.Chain(), "no thumbprint is registered for bare"},
		"thumbprint, expired":        {"expired", "", expired.Chain(), "expired at"},
		"thumbprint, not yet valid":  {"early", "", early.Chain(), "valid from"},
		"thumbprint, by CA":          {"self", "", p.root.Leaf(t, "self").Chain(), "neither of those registered"},
		"self-signed for a CA":       {"ca", "", trusttest.SelfSigned(t, "ca").Chain(), `"ca", at the end of the chain`},
		"another CA":                 {"ca", "", other.Leaf(t, "ca").Chain(), "not signed by it"},
		"no intermediate":            {"ca", "", p.line.Leaf(t, "ca").Chain(), `the issuer "line"`},
		"another device's":           {"ca", "", p.root.Leaf(t, "self").Chain(), `is for "self"`},
		"in another case":            {"ca", "", p.root.Leaf(t, "CA").Chain(), `is for "CA"`},
		"id in another case":         {"CA2", "", p.root.Leaf(t, "ca2").Chain(), `is for "ca2"`},
		"the device's for a module":  {"ca/mod", "", p.root.Leaf(t, "ca").Chain(), `is for "ca"`},
		"the module's for a device":  {"ca", "", p.root.Leaf(t, "ca/mod").Chain(), `is for "ca/mod"`},
		"no name":                    {"ca", "", p.root.Leaf(t, "").Chain(), "is for"},
		"none":                       {"ca", "", nil, "authenticates by certificate (certificateAuthority), and none came"},
		"none for a thumbprint":      {"self", "", nil, "authenticates by certificate (selfSigned), and none came"},
		"a token in place of it":     {"ca", sasToken, nil, "a SAS token came instead"},
		"a certificate for a token":  {"dev1", "", p.root.Leaf(t, "dev1").Chain(), "dev1 is registered for SAS tokens, and came with a certificate"},
		"a bad token, a good chain":  {"dev1", "nonsense", p.root.Leaf(t, "dev1").Chain(), "SharedAccessSignature"},
		"the hub's CA as the device": {"ca", "", p.root.Chain(), `is for "root"`},
		"a CA as the device":         {"ca", "", p.root.CA(t, "ca").Chain(), "is that of a CA"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := p.come(t, tc.id, tc.password, tc.chain)
			if tc.want == "" {
				if err != nil || a.ID.String() != tc.id || a.Expires.IsZero() {
					t.Errorf("admitted as %q until %v, %v", a.ID, a.Expires, err)
				}
				return
			}
			if hub.CodeOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Admit: %v, want %q", err, tc.want)
			}
			if a.ID.String() != tc.id {
				t.Errorf("the refusal is about %q, want %q", a.ID, tc.id)
			}
		})
	}
}

// The connection ends with the certificate, and says so.
func TestCertificateExpires(t *testing.T) {
	p := newPlant(t)
	until := time.Now().Add(3 * time.Hour).Truncate(time.Second)
	short := trusttest.Valid(time.Now().Add(-time.Hour), until)
	leaf := p.root.Leaf(t, "ca", short)
	self := trusttest.SelfSigned(t, "self", short)
	p.add("self", identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: identity.Thumbprints{SecondaryThumbprint: trust.Thumbprint(self.Cert)}})
	for id, chain := range map[string][]*x509.Certificate{"ca": leaf.Chain(), "self": self.Chain()} {
		a, err := p.come(t, id, "", chain)
		if err != nil || !a.Expires.Equal(until) {
			t.Fatalf("%s: until %v, %v, want %v", id, a.Expires, err, until)
		}
		if err := a.Handler.(gateway.Expiring).Expired(); !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", id, err)
		}
	}
	a, err := p.come(t, "dev1", p.token(t, "dev1"), leaf.Chain())
	if err != nil || a.Expires.Equal(until) {
		t.Fatalf("by token: until %v, %v", a.Expires, err)
	}
	if err := a.Handler.(gateway.Expiring).Expired(); !strings.Contains(err.Error(), "SAS token") {
		t.Errorf("by token: %v", err)
	}
}

func TestAuthMethodOfCertificates(t *testing.T) {
	p := newPlant(t)
	for id, want := range map[string]string{"ca": telemetry.AuthMethodDeviceX509, "ca/mod": telemetry.AuthMethodModuleX509} {
		a, err := p.come(t, id, "", p.root.Leaf(t, id).Chain())
		if err != nil {
			t.Fatal(err)
		}
		topic := "devices/" + strings.Replace(id, "/", "/modules/", 1) + "/messages/events/"
		if err := a.Handler.Publish(&mqtt.Publish{Topic: []byte(topic)}, receipt{}, 0); err != nil {
			t.Fatal(err)
		}
		if got := p.sink.headers[len(p.sink.headers)-1]["iothub-connection-auth-method"]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}

// A change of the identity cuts what would not be let in again.
func TestRecheckCertificate(t *testing.T) {
	p := newPlant(t)
	byCA, err := p.come(t, "ca", "", p.root.Leaf(t, "ca").Chain())
	if err != nil {
		t.Fatal(err)
	}
	bySelf, err := p.come(t, "self", "", p.two.Chain())
	if err != nil {
		t.Fatal(err)
	}
	first, two := trust.Thumbprint(p.first.Cert), trust.Thumbprint(p.two.Cert)
	self := func(primary, secondary string) identity.Authentication {
		return identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: identity.Thumbprints{PrimaryThumbprint: primary, SecondaryThumbprint: secondary}}
	}
	keys := identity.Authentication{Type: identity.AuthSAS, SymmetricKey: identity.SymmetricKey{PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey()}}
	for name, tc := range map[string]struct {
		a    gateway.Admission
		auth identity.Authentication
		want string // why it is cut; empty: it goes on
	}{
		"CA, unchanged":           {byCA, identity.Authentication{Type: identity.AuthCA}, ""},
		"CA to tokens":            {byCA, keys, "no longer authenticates by the kind"},
		"CA to thumbprint":        {byCA, self(first, two), "no longer authenticates by the kind"},
		"thumbprint to CA":        {bySelf, identity.Authentication{Type: identity.AuthCA}, "no longer authenticates by the kind"},
		"thumbprint to tokens":    {bySelf, keys, "no longer authenticates by the kind"},
		"thumbprint moved":        {bySelf, self(strings.ToLower(two), ""), ""},
		"other thumbprint gone":   {bySelf, self("", two), ""},
		"thumbprint replaced":     {bySelf, self(first, ""), "thumbprint of the certificate that self connected with was replaced"},
		"all thumbprints removed": {bySelf, self("", ""), "was replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			r := p.devices[tc.a.ID]
			r.Authentication = tc.auth
			err := tc.a.Handler.(*handler).recheck(tc.a.ID, identity.Change{ID: tc.a.ID, Record: &r})
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("recheck: %v, want %q", err, tc.want)
			}
		})
	}
}

// stopped is a link that remembers why it was stopped.
type stopped struct {
	gateway.Link
	cause error
}

func (s *stopped) Stop(cause error) { s.cause = cause }

// A CA that goes while a client is let in, before the table of connections has
// it, does not let it stay.
func TestTrustChangesDuringAdmission(t *testing.T) {
	p := newPlant(t)
	a, err := p.come(t, "ca", "", p.root.Leaf(t, "ca").Chain())
	if err != nil {
		t.Fatal(err)
	}
	h := a.Handler.(*handler)
	l := &stopped{Link: newLink()}
	if h.Attach(l); l.cause != nil {
		t.Errorf("stopped because of %v, and nothing has changed", l.cause)
	}
	p.register()
	if h.Attach(l); hub.CodeOf(l.cause) != hub.Unauthorized {
		t.Errorf("stopped because of %v, want the removed CA", l.cause)
	}
}

// What is kept of a certificate is small, and nothing is of a token's client.
func TestAConnectionKeepsNoChain(t *testing.T) {
	p := newPlant(t)
	a, err := p.come(t, "dev1", p.token(t, "dev1"), p.root.Leaf(t, "x").Chain())
	if err != nil {
		t.Fatal(err)
	}
	if h := a.Handler.(*handler); h.shown != nil {
		t.Errorf("the connection of a token keeps %+v", h.shown)
	}
}

// BenchmarkRecheck is what a change of the hub's CAs costs for each connection.
func BenchmarkRecheck(b *testing.B) {
	root := trusttest.Root(b, "root")
	line := root.CA(b, "line")
	f := &Face{Trust: &trust.Pool{}}
	registered := []trust.Authority{{Name: "a", Certificate: root.Cert.Raw, Verified: true}}
	f.Trust.SetRegistered(registered)
	lists, err := trust.ParseLists("list", line.Revoke(b, time.Now().Add(time.Hour), root.Leaf(b, "gone")))
	if err != nil {
		b.Fatal(err)
	}
	g, err := f.Trust.Verify(line.Leaf(b, "d").Chain(line), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	f.Trust.SetFiles(trust.Files{Lists: lists})
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Trust.Recheck(g, now); err != nil {
			b.Fatal(err)
		}
	}
}

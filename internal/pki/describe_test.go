package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/internal/pki"
)

// TestInspect looks at chains with one thing wrong each.
func TestInspect(t *testing.T) {
	t.Parallel()
	now := time.Now()
	until := now.Add(100 * day)
	root, err := pki.NewRoot(pki.Request{Name: "Root", Kind: pki.ECDSA, Until: now.Add(200 * day)}, now)
	if err != nil {
		t.Fatal(err)
	}
	between, err := root.Intermediate(pki.Request{Name: "Between", Kind: pki.ECDSA, Until: until}, now)
	if err != nil {
		t.Fatal(err)
	}
	server := func(i *pki.Issued, kind pki.KeyKind, names ...string) []*x509.Certificate {
		t.Helper()
		made, err := i.Server(pki.Request{Name: "x", Names: names, Kind: kind, Until: now.Add(1000 * day)}, now)
		if err != nil {
			t.Fatal(err)
		}
		return made.Chain
	}
	good := server(between, pki.RSA, "hub.example", "hub", "10.0.0.1")
	device, err := between.Device(pki.Request{Name: "d", Kind: pki.RSA, Until: until}, now)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	short := signed(t, root, &x509.Certificate{DNSNames: []string{"hub.example"}, NotAfter: until}, weak.Public())
	tests := map[string]struct {
		chain []*x509.Certificate
		host  string
		now   time.Time
		want  []string // level, who and a part of the text
	}{
		"good":             {good, "hub.example", now, []string{"note|every SDK|must trust the root CN=Root"}},
		"by address":       {good, "10.0.0.1", now, []string{"note|"}},
		"no name asked":    {good, "", now, []string{"note|"}},
		"ends with issuer": {good, "", now.Add(101 * day), []string{"error|every SDK|certificate 1 has expired on", "error|every SDK|certificate 2 has expired", "note|"}},
		"not yet valid":    {good, "", now.Add(-2 * day), []string{"error|every SDK|certificate 1 is not valid before", "error||", "note|"}},
		"another name":     {good, "other.example", now, []string{"error|every SDK|the name other.example is not in it: it has 10.0.0.1, hub, hub.example", "note|"}},
		"no dot":           {good, "hub", now, []string{"error|C|has no dot", "note|"}},
		"IPv6":             {server(between, pki.RSA, "::1"), "::1", now, []string{"error|C|has no dot", "error|every SDK|IPv6", "note|"}},
		"ECDSA":            {server(between, pki.ECDSA, "hub.example"), "hub.example", now, []string{"warning|C on old TLS stacks|the key is ECDSA", "note|"}},
		"no names":         {server(between, pki.RSA), "", now, []string{"error|every SDK|there are no names (SAN)", "note|"}},
		"short key":        {[]*x509.Certificate{short}, "hub.example", now, []string{"error|Node, Python, C with OpenSSL|has 1024 bits", "warning|every SDK|CN=Root themselves: if that is an intermediate"}},
		"no intermediate":  {good[:1], "hub.example", now, []string{"warning|every SDK|CN=Between themselves"}},
		"with the root":    {append(append([]*x509.Certificate{}, good...), root.Certificate()), "hub.example", now, nil},
		"order":            {[]*x509.Certificate{good[0], root.Certificate(), good[1]}, "hub.example", now, []string{"error|C, Java, and|certificate 1 was not issued by the one behind it"}},
		"of a device":      {device.Chain, "d", now, []string{"error|every SDK|no names", "error|C|has no dot", "error|every SDK|(serverAuth)", "note|"}},
		"authority":        {root.Chain, "", now, []string{"error|every SDK|no names", "warning|every SDK|certificate of an authority"}},
	}
	for name, tt := range tests {
		var got []string
		for _, f := range pki.InspectServer(tt.chain, tt.host, tt.now) {
			got = append(got, f.Level+"|"+f.Who+"|"+f.Text)
		}
		ok := len(got) == len(tt.want)
		for i := 0; ok && i < len(got); i++ {
			for part := range strings.SplitSeq(tt.want[i], "|") {
				ok = ok && strings.Contains(got[i], part)
			}
		}
		if !ok {
			t.Errorf("%s: got\n  %s\nwant\n  %s", name, strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
		}
	}
	if got := pki.InspectDevice(device.Chain, now); len(got) > 0 || !pki.IsDevice(device.Certificate()) || pki.IsDevice(good[0]) {
		t.Errorf("the device: %+v", got)
	}
	if _, err := between.Intermediate(pki.Request{Name: "Third", Kind: pki.ECDSA, Until: until}, now); err == nil {
		t.Error("an intermediate authority has another one below it")
	}
}

// signed makes a certificate that this package would not make.
func signed(t *testing.T, by *pki.Issued, template *x509.Certificate, key any) *x509.Certificate {
	t.Helper()
	template.SerialNumber, template.Subject = big.NewInt(7), pkix.Name{CommonName: "x"}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate(), key, by.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	root, err := pki.NewRoot(pki.Request{Name: "Root", Kind: pki.ECDSA, Until: now.Add(10 * day)}, now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := signed(t, root, &x509.Certificate{DNSNames: []string{"b", "a"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}, NotAfter: now.Add(36 * time.Hour)}, key.Public())
	d := pki.Describe(cert, now)
	if strings.Join(d.Names, " ") != "10.0.0.1 a b" || d.Key != "ECDSA, P-384" || d.Serial != "07" || d.Issuer != "CN=Root" || d.DaysLeft != 1 ||
		len(d.SHA1) != 40 || len(d.SHA256) != 64 || d.SHA1 != strings.ToUpper(d.SHA1) || d.Authority {
		t.Errorf("got %+v", d)
	}
	for at, want := range map[time.Duration]int{0: 1, 35 * time.Hour: 0, 36*time.Hour + 1: -1, 60*time.Hour + 1: -2} {
		if got := pki.DaysLeft(cert.NotAfter, now.Add(at)); got != want {
			t.Errorf("after %v: %d days left, want %d", at, got, want)
		}
	}
}

// TestParseLists reads a revocation list in both forms.
func TestParseLists(t *testing.T) {
	t.Parallel()
	now := time.Now()
	root, err := pki.NewRoot(pki.Request{Name: "Root", Kind: pki.ECDSA, Until: now.Add(10 * day)}, now)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(day),
	}, root.Certificate(), root.Key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	for name, tt := range map[string]struct {
		text []byte
		want int
	}{"DER": {der, 1}, "PEM": {text, 1}, "two": {append(append([]byte{}, text...), text...), 2}, "none": {root.CertPEM(), 0}, "garbage": {[]byte("x"), 0}} {
		if got := pki.ParseLists(tt.text); len(got) != tt.want {
			t.Errorf("%s: got %d lists, want %d", name, len(got), tt.want)
		}
	}
	dir := t.TempDir()
	keyText, err := root.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ca.pem"), string(root.CertPEM()))
	write(t, filepath.Join(dir, "ca.key"), string(keyText))
	_, err = pki.LoadIssuer(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"), now.Add(11*day))
	wantSentence(t, err, "ca.pem has expired on")
}

package pki_test

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/internal/pki"
)

const day = 24 * time.Hour

func names() []string { return pki.Names("127.0.0.1", []string{"Hub.Example"}, "box") }

// open opens dir and returns the two server certificates.
func open(t *testing.T, dir string, names []string, now time.Time) (*pki.Development, *x509.Certificate, *x509.Certificate) {
	t.Helper()
	d, err := pki.Open(dir, names, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Certificates) != 2 {
		t.Fatalf("got %d certificates, want 2", len(d.Certificates))
	}
	return d, d.Certificates[0].Leaf, d.Certificates[1].Leaf
}

func TestNames(t *testing.T) {
	t.Parallel()
	common := []string{"127.0.0.1", "::1", "host.docker.internal", "localhost"}
	tests := map[string]struct {
		host    string
		aliases []string
		machine string
		want    []string
	}{
		"IP host":            {"127.0.0.1", nil, "", nil},
		"name":               {"Hub.Example.com", nil, "", []string{"hub.example.com"}},
		"aliases":            {"hub", []string{"a.azure-devices.net", "10.0.0.9"}, "", []string{"hub", "a.azure-devices.net", "10.0.0.9"}},
		"machine":            {"hub", nil, "my_box", []string{"hub", "my_box"}},
		"impossible machine": {"hub", nil, "my box", []string{"hub"}},
		"duplicates":         {"localhost", []string{"LOCALHOST"}, "localhost", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := append(slices.Clone(common), tt.want...)
			slices.Sort(want)
			if got := pki.Names(tt.host, tt.aliases, tt.machine); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestValidName(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"": false, "a": true, "a.b": true, "*.a.b": true, "a_b": true, "10.0.0.1": true, "::1": true,
		"fe80::1%eth0": false, "a b": false, "a..b": false, ".a": false, "a.": false, "-a": false, "a-": false,
		"a:8883": false, "a/b": false, "ä": false, "a.*": false, "*": false,
		strings.Repeat("a", 64):                   false,
		strings.Repeat("a.", 127):                 false,
		strings.Repeat("a.", 126) + "a":           true,
		strings.Repeat("a.", 126) + "aa":          false,
		strings.Repeat("a", 63) + "." + "example": true,
	}
	for name, want := range tests {
		if got := pki.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %t, want %t", name, got, want)
		}
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d, ec, old := open(t, t.TempDir(), names(), now)
	if _, ok := ec.PublicKey.(*ecdsa.PublicKey); !ok {
		t.Errorf("the first certificate has a %T", ec.PublicKey)
	}
	if k, ok := old.PublicKey.(*rsa.PublicKey); !ok || k.N.BitLen() != 2048 {
		t.Errorf("the second certificate has a %T", old.PublicKey)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(d.CA) {
		t.Fatal("the authority's certificate is not PEM")
	}
	for _, leaf := range []*x509.Certificate{ec, old} {
		for _, name := range []string{"127.0.0.1", "::1", "localhost", "host.docker.internal", "hub.example", "box"} {
			if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 397*day {
			t.Errorf("a leaf lives %v", life)
		}
		if slices.ContainsFunc(leaf.DNSNames, func(s string) bool { return net.ParseIP(s) != nil }) {
			t.Errorf("an address is a DNS name: %q", leaf.DNSNames)
		}
	}
	text, err := os.ReadFile(d.CAFile)
	if err != nil || string(text) != string(d.CA) {
		t.Errorf("%s is not what Open returned (%v)", d.CAFile, err)
	}
}

func TestFileModes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // no such modes there
	}
	dir := filepath.Join(t.TempDir(), "certs")
	open(t, dir, names(), time.Now())
	want := map[string]os.FileMode{
		".": 0o700, "ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o644, "server.key": 0o600,
		"server-rsa.pem": 0o644, "server-rsa.key": 0o600,
	}
	for name, mode := range want {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != mode {
			t.Errorf("%s has mode %o, want %o", name, got, mode)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(want)-1 {
		t.Errorf("the directory holds %v (%v)", entries, err)
	}
}

// TestReopen opens the same directory later, or with other names.
func TestReopen(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		now     time.Time
		names   []string
		renewed bool
	}{
		"at once":          {first, names(), false},
		"a year later":     {first.Add(365 * day), names(), false},
		"29 days before":   {first.Add((396 - 29) * day), names(), true},
		"after its end":    {first.Add(500 * day), names(), true},
		"clock went back":  {first.Add(-2 * time.Hour), names(), true},
		"another alias":    {first, pki.Names("127.0.0.1", []string{"other.example"}, "box"), true},
		"another machine":  {first, pki.Names("127.0.0.1", []string{"hub.example"}, "box2"), true},
		"alias taken away": {first, pki.Names("127.0.0.1", nil, "box"), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d, ec, old := open(t, dir, names(), first)
			again, ec2, old2 := open(t, dir, tt.names, tt.now)
			if string(again.CA) != string(d.CA) {
				t.Error("the authority is another")
			}
			if got := !ec2.Equal(ec); got != tt.renewed {
				t.Errorf("ECDSA certificate renewed: %t, want %t", got, tt.renewed)
			}
			if got := !old2.Equal(old); got != tt.renewed {
				t.Errorf("RSA certificate renewed: %t, want %t", got, tt.renewed)
			}
			if ec2.CheckSignatureFrom(parse(t, d.CA)) != nil || !ec2.NotAfter.After(tt.now) {
				t.Errorf("the certificate is no good: %v", ec2.NotAfter)
			}
		})
	}
}

func parse(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%q is not PEM", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestAuthorityEnds: after ten years nothing can be signed any more.
func TestAuthorityEnds(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	open(t, dir, names(), now)
	_, err := pki.Open(dir, names(), now.Add(11*365*day))
	wantSentence(t, err, "ca.pem has expired on", "remove")
}

// TestDamage breaks one file of a good directory.
func TestDamage(t *testing.T) {
	t.Parallel()
	garbage := func(t *testing.T, path string) { write(t, path, "not PEM") }
	remove := func(t *testing.T, path string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	cut := func(t *testing.T, path string) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, string(text[:len(text)/2]))
	}
	foreign := func(t *testing.T, path string) {
		t.Helper()
		other := t.TempDir()
		open(t, other, names(), time.Now())
		text, err := os.ReadFile(filepath.Join(other, filepath.Base(path)))
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, string(text))
	}
	tests := map[string]struct {
		file string
		harm func(*testing.T, string)
		want []string // of the error; none: the file is made again
	}{
		"authority is garbage":    {"ca.pem", garbage, []string{"ca.pem is damaged", "put it back from a backup", "ca.key"}},
		"authority is cut":        {"ca.pem", cut, []string{"ca.pem is damaged", "backup"}},
		"authority's key is cut":  {"ca.key", cut, []string{"ca.key is damaged", "backup"}},
		"authority's key is gone": {"ca.key", remove, []string{"ca.key is missing", "backup"}},
		"another authority's key": {"ca.key", foreign, []string{"ca.key is not the key of", "backup"}},
		"authority is gone":       {"ca.pem", remove, nil},
		"server is garbage":       {"server.pem", garbage, []string{"server.pem is damaged", "remove both", "server.key"}},
		"server's key is garbage": {"server.key", garbage, []string{"server.key is damaged", "remove both"}},
		"another server's key":    {"server-rsa.key", foreign, []string{"server-rsa.key is not the key of", "remove both"}},
		"server is gone":          {"server.pem", remove, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			open(t, dir, names(), time.Now())
			tt.harm(t, filepath.Join(dir, tt.file))
			_, err := pki.Open(dir, names(), time.Now())
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantSentence(t, err, tt.want...)
		})
	}
}

// TestLostServerKey: a certificate whose key is gone is made again.
func TestLostServerKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, ec, _ := open(t, dir, names(), time.Now())
	if err := os.Remove(filepath.Join(dir, "server.key")); err != nil {
		t.Fatal(err)
	}
	_, ec2, _ := open(t, dir, names(), time.Now())
	if ec2.Equal(ec) {
		t.Error("the old certificate is still there")
	}
}

func TestUnwritableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	_, err := pki.Open(filepath.Join(file, "certs"), names(), time.Now())
	wantSentence(t, err, "make the directory of certificates", file)
}

// TestHandshake connects as the clients of the field do.
func TestHandshake(t *testing.T) {
	t.Parallel()
	d, ec, old := open(t, t.TempDir(), names(), time.Now())
	tests := map[string]struct {
		client *tls.Config
		want   *x509.Certificate
	}{
		"modern":  {&tls.Config{}, ec},
		"TLS 1.2": {&tls.Config{MaxVersion: tls.VersionTLS12}, ec},
		"RSA only": {&tls.Config{
			MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		}, old},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := tt.client.Clone()
			cfg.ServerName = "127.0.0.1"
			cfg.RootCAs = x509.NewCertPool()
			cfg.RootCAs.AppendCertsFromPEM(d.CA)
			state, err := handshake(t, pki.Show(d.Certificates).Config(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := state.PeerCertificates[0]; !got.Equal(tt.want) {
				t.Errorf("got a certificate with %T, want %T", got.PublicKey, tt.want.PublicKey)
			}
		})
	}
}

func TestHandshakeRefusesOldVersions(t *testing.T) {
	t.Parallel()
	d, _, _ := open(t, t.TempDir(), names(), time.Now())
	client := &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10, InsecureSkipVerify: true}
	if _, err := handshake(t, pki.Show(d.Certificates).Config(), client); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
}

// handshake shakes hands over a pipe and returns what the client saw.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := tls.Server(a, server)
		_ = s.HandshakeContext(t.Context())
		_ = a.Close()
	}()
	c := tls.Client(b, client)
	err := c.HandshakeContext(t.Context())
	_ = b.Close()
	<-done
	return c.ConnectionState(), err
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir, names(), time.Now())
	in := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	tests := map[string]struct {
		certs, keys []string
		want        []string
	}{
		"both":        {in("server.pem", "server-rsa.pem"), in("server.key", "server-rsa.key"), nil},
		"none":        {nil, nil, []string{"no certificate file is given"}},
		"missing key": {in("server.pem", "server-rsa.pem"), in("server.key"), []string{"2 certificate files and 1 key files"}},
		"mixed up":    {in("server.pem"), in("server-rsa.key"), []string{"server.pem", "server-rsa.key"}},
		"no file":     {in("nobody.pem"), in("server.key"), []string{"nobody.pem"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certs, err := pki.Load(tt.certs, tt.keys)
			if tt.want != nil {
				wantSentence(t, err, tt.want...)
				return
			}
			if err != nil || len(certs) != len(tt.certs) {
				t.Errorf("got %d certificates, %v", len(certs), err)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantSentence checks that err says each of words.
func wantSentence(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("there is no error")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error %q does not say %q", err, word)
		}
	}
}

package pki_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/internal/pki"
)

// certsFor makes an ECDSA and an RSA certificate for names, which are nothing
// but what the test says.
func certsFor(t *testing.T, names ...string) []tls.Certificate {
	t.Helper()
	d, err := pki.Open(t.TempDir(), names, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return d.Certificates
}

// TestChoice asks for names as clients do.
func TestChoice(t *testing.T) {
	t.Parallel()
	hub, wild, old := certsFor(t, "hub.example"), certsFor(t, "*.fleet.example"), certsFor(t, "a.fleet.example", "Old.Example")
	ip := certsFor(t, "127.0.0.1")
	all := []tls.Certificate{hub[1], hub[0], wild[0], wild[1], old[1], ip[0]} // the RSA one first
	names := map[string]string{}
	for what, cert := range map[string]tls.Certificate{
		"hub, ECDSA": hub[0], "hub, RSA": hub[1], "wildcard, ECDSA": wild[0], "wildcard, RSA": wild[1], "old, RSA": old[1], "IP": ip[0],
	} {
		names[string(cert.Certificate[0])] = what
	}
	rsaOnly := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	tests := []struct {
		name   string
		client *tls.Config
		want   string
	}{
		{"hub.example", &tls.Config{}, "hub, ECDSA"},
		{"HUB.Example", &tls.Config{}, "hub, ECDSA"},
		{"hub.example", rsaOnly, "hub, RSA"},
		{"b.fleet.example", &tls.Config{}, "wildcard, ECDSA"},
		{"b.fleet.example", rsaOnly, "wildcard, RSA"},
		{"a.fleet.example", &tls.Config{}, "old, RSA"}, // exact before wildcard, whatever its kind
		{"old.example", &tls.Config{}, "old, RSA"},
		{"a.b.fleet.example", &tls.Config{}, "hub, ECDSA"}, // a wildcard is one label
		{"fleet.example", &tls.Config{}, "hub, ECDSA"},
		{"nobody.example", &tls.Config{}, "hub, ECDSA"},
		{"nobody.example", rsaOnly, "hub, RSA"},
		{"127.0.0.1", &tls.Config{}, "hub, ECDSA"}, // an address is never sent
	}
	shown := pki.Show(all)
	for _, tt := range tests {
		client := tt.client.Clone()
		client.ServerName, client.InsecureSkipVerify = tt.name, true
		state, err := handshake(t, shown.Config(), client)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := names[string(state.PeerCertificates[0].Raw)]; got != tt.want {
			t.Errorf("%s (RSA only: %t): got %q, want %q", tt.name, tt.client == rsaOnly, got, tt.want)
		}
	}
}

// TestReplace: the next handshake sees the new certificate, and a client with a
// ticket from before is still resumed.
func TestReplace(t *testing.T) {
	t.Parallel()
	before, after := certsFor(t, "hub.example"), certsFor(t, "hub.example")
	shown := pki.Show(before)
	server := shown.Config()
	client := &tls.Config{
		ServerName: "hub.example", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	first, err := handshake(t, server, client)
	if err != nil || first.DidResume {
		t.Fatalf("the first handshake: resumed %t, %v", first.DidResume, err)
	}
	shown.Replace(after)
	second, err := handshake(t, server, client)
	if err != nil || !second.DidResume {
		t.Errorf("after a reload: resumed %t, %v", second.DidResume, err)
	}
	third, err := handshake(t, server, &tls.Config{ServerName: "hub.example", InsecureSkipVerify: true})
	if err != nil || !third.PeerCertificates[0].Equal(after[0].Leaf) {
		t.Errorf("a new client does not get the new certificate (%v)", err)
	}
}

// put copies a certificate of dir with its key to other names.
func put(t *testing.T, from, to, name string) (cert, key string) {
	t.Helper()
	for _, ext := range []string{".pem", ".key"} {
		text, err := os.ReadFile(filepath.Join(from, name+ext))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(to, "shown"+ext), string(text))
	}
	return filepath.Join(to, "shown.pem"), filepath.Join(to, "shown.key")
}

// TestReader reads good and bad files in turn.
func TestReader(t *testing.T) {
	t.Parallel()
	now := time.Now()
	good, other, short := t.TempDir(), t.TempDir(), t.TempDir()
	open(t, good, names(), now)
	open(t, other, names(), now.Add(time.Minute))
	open(t, short, names(), now.Add(-390*day)) // six days left
	dir := t.TempDir()
	cert, key := put(t, good, dir, "server")
	var r pki.Reader
	read := func(now time.Time) pki.Reading { return r.Read([]string{cert}, []string{key}, now) }

	first := read(now)
	if len(first.Certificates) != 1 || len(first.Errors)+len(first.Warnings) > 0 {
		t.Fatalf("got %d certificates, %v, %v", len(first.Certificates), first.Errors, first.Warnings)
	}
	var again time.Time
	keeps := func(what string, now time.Time, words ...string) {
		t.Helper()
		got := read(now)
		again = got.Again
		if !pki.Same(got.Certificates, first.Certificates) || len(got.Errors) != 1 {
			t.Errorf("%s: the old certificate does not stay, or there is no error: %v", what, got.Errors)
			return
		}
		for _, word := range append(words, "shown.pem", "stays") {
			if !strings.Contains(got.Errors[0].Error(), word) {
				t.Errorf("%s: %q does not say %q", what, got.Errors[0], word)
			}
		}
	}
	write(t, cert, "-----BEGIN CERT")
	keeps("half a file", now)
	put(t, other, dir, "server")
	text, err := os.ReadFile(filepath.Join(good, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, key, string(text))
	keeps("another's key", now, "private key does not match")
	put(t, short, dir, "server")
	keeps("expired", now.Add(10*day), "has expired on")
	if !again.IsZero() {
		t.Errorf("an expired certificate is valid again at %v", again)
	}
	put(t, other, dir, "server")
	keeps("not yet valid", now.Add(-time.Hour).Add(time.Second), "is not valid before")
	if again.IsZero() {
		t.Error("nobody says when the new certificate is valid")
	}
	if got := read(again); len(got.Errors) > 0 || !got.Again.IsZero() || pki.Same(got.Certificates, first.Certificates) {
		t.Errorf("when the new certificate is valid: %v, again at %v", got.Errors, got.Again)
	}

	second := read(now.Add(time.Minute))
	if len(second.Errors) > 0 || pki.Same(second.Certificates, first.Certificates) {
		t.Errorf("the new certificate is not taken: %v", second.Errors)
	}
	late := read(now.Add(500 * day))
	if len(late.Certificates) != 1 || len(late.Warnings) != 1 || len(late.Errors) > 0 {
		t.Errorf("an expired certificate with nothing better: %v, %v", late.Warnings, late.Errors)
	}
	gone := r.Read([]string{cert, filepath.Join(dir, "nobody.pem")}, []string{key, key}, now.Add(time.Minute))
	if len(gone.Certificates) != 1 || len(gone.Errors) != 1 {
		t.Errorf("a second file that is not there: %d certificates, %v", len(gone.Certificates), gone.Errors)
	}
	if none := r.Read(nil, nil, now); len(none.Errors) != 1 {
		t.Errorf("no files: %v", none.Errors)
	}
}

// TestReaderSuccessor: a file that takes another one's place, and is not good yet, does
// not take its certificate away from clients.
func TestReaderSuccessor(t *testing.T) {
	t.Parallel()
	now := time.Now()
	one, two := t.TempDir(), t.TempDir()
	open(t, one, names(), now)
	open(t, two, names(), now)
	oldCert, oldKey := put(t, one, t.TempDir(), "server")
	alias, aliasKey := put(t, one, t.TempDir(), "server-rsa")
	dir := t.TempDir()
	newCert, newKey := filepath.Join(dir, "shown.pem"), filepath.Join(dir, "shown.key")
	var r pki.Reader
	before := r.Read([]string{oldCert, alias}, []string{oldKey, aliasKey}, now)
	successor := func() pki.Reading { return r.Read([]string{newCert, alias}, []string{newKey, aliasKey}, now) }
	for range 2 { // as a reload that tries again
		if got := successor(); len(got.Errors) != 1 || !pki.Same(got.Certificates, before.Certificates) {
			t.Errorf("%d certificates are shown, want the %d of before, in their order: %v", len(got.Certificates), len(before.Certificates), got.Errors)
		}
	}
	put(t, two, dir, "server")
	got := successor()
	if len(got.Errors) > 0 || len(got.Certificates) != 2 || pki.Same(got.Certificates[:1], before.Certificates[:1]) {
		t.Errorf("when the successor is good: %d certificates, %v", len(got.Certificates), got.Errors)
	}
}

// TestChainOrder: each certificate of a file must have been issued by the next.
func TestChainOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir, names(), time.Now())
	text := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	tests := map[string]struct {
		chain []string
		want  string
	}{
		"leaf and root":      {[]string{"server.pem", "ca.pem"}, ""},
		"two leaves":         {[]string{"server.pem", "server-rsa.pem"}, "did not issue the one before it"},
		"a stranger behind":  {[]string{"server.pem", "ca.pem", "server.pem"}, "certificate 3 of the file"},
		"the root in front":  {[]string{"ca.pem", "server.pem"}, "private key does not match"},
		"leaf and no issuer": {[]string{"server.pem"}, ""},
	}
	for name, tt := range tests {
		file := filepath.Join(t.TempDir(), "chain.pem")
		var b strings.Builder
		for _, part := range tt.chain {
			fmt.Fprintln(&b, text(part))
		}
		write(t, file, b.String())
		_, err := pki.Load([]string{file}, []string{filepath.Join(dir, "server.key")})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.want != "":
			wantSentence(t, err, tt.want)
		}
	}
}

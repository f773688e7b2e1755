package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/internal/pki"
)

// TestCertTranscript needs no hub.
func TestCertTranscript(t *testing.T) {
	t.Parallel()
	none := &process{}
	none.ready.NATSURL = "nats://nobody"
	transcript(t, "cert.txt", none, t.TempDir())
}

// TestCertFiles: keys are for their owner only, whatever was there before.
func TestCertFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, "cert", "ca", "--intermediate", "--out-dir", dir)
	must(t, "cert", "server", "hub.example", "--ca", dir, "--out-dir", dir)
	old := write(t, dir, "pump.key", "old")
	if err := os.Chmod(old, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := hubgate(t, nil, "cert", "device", "pump", "--ca", dir, "--out-dir", dir); r.code != exitConflict {
		t.Errorf("got exit code %d: %s", r.code, r.err)
	}
	if text, err := os.ReadFile(old); err != nil || string(text) != "old" {
		t.Errorf("the old key is gone: %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "pump.pem")); err == nil {
		t.Error("half of a pair was written")
	}
	must(t, "cert", "device", "pump", "--ca", dir, "--out-dir", dir, "--force")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o644)
		if strings.HasSuffix(f.Name(), ".key") {
			want = 0o600
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", f.Name(), info.Mode().Perm(), want)
		}
	}
	if len(files) != 8 {
		t.Errorf("there are %d files: %v", len(files), files)
	}
	verify(t, dir, "hub.example.pem", x509.ExtKeyUsageServerAuth)
	verify(t, dir, "pump.pem", x509.ExtKeyUsageClientAuth)
}

// TestIntermediateOfAnotherRoot: a new root does not leave the old intermediate
// authority to sign what nobody trusts.
func TestIntermediateOfAnotherRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, "cert", "ca", "--intermediate", "--out-dir", dir)
	must(t, "cert", "ca", "--force", "--out-dir", dir)
	r := hubgate(t, nil, "cert", "server", "hub.example", "--ca", dir, "--out-dir", dir)
	if r.code != exitUsage {
		t.Errorf("got exit code %d: %s", r.code, r.out)
	}
	wantAll(t, r.err, "was not issued by "+filepath.Join(dir, "ca.pem"), "cert ca --intermediate --force")
	must(t, "cert", "ca", "--intermediate", "--force", "--out-dir", dir)
	must(t, "cert", "server", "hub.example", "--ca", dir, "--out-dir", dir)
	verify(t, dir, "hub.example.pem", x509.ExtKeyUsageServerAuth)
}

// TestIntermediateOfARootKeptOffline: a root whose key is not at hand is not
// replaced by another one, which nobody trusts.
func TestIntermediateOfARootKeptOffline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, "cert", "ca", "--intermediate", "--out-dir", dir)
	root, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	before, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	offline := filepath.Join(t.TempDir(), "ca.key")
	if err := os.Rename(key, offline); err != nil {
		t.Fatal(err)
	}
	r := hubgate(t, nil, "cert", "ca", "--intermediate", "--force", "--out-dir", dir)
	if after, err := os.ReadFile(root); r.code != exitUsage || err != nil || string(after) != string(before) {
		t.Errorf("got exit code %d; the root is another one: %t, %v", r.code, string(after) != string(before), err)
	}
	wantAll(t, r.err, root, key)
	if err := os.Rename(offline, key); err != nil {
		t.Fatal(err)
	}
	must(t, "cert", "ca", "--intermediate", "--force", "--out-dir", dir)
	must(t, "cert", "server", "hub.example", "--ca", dir, "--out-dir", dir)
	verify(t, dir, "hub.example.pem", x509.ExtKeyUsageServerAuth)
}

// TestNamelessAuthority: RFC 5280 wants an issuer that has a name.
func TestNamelessAuthority(t *testing.T) {
	t.Parallel()
	r := hubgate(t, nil, "cert", "ca", "--name", "", "--out-dir", t.TempDir())
	if r.code != exitUsage {
		t.Errorf("got exit code %d: %s", r.code, r.out)
	}
	wantAll(t, r.err, "--name: an authority needs a name")
}

// verify checks that a file leads to the root by itself.
func verify(t *testing.T, dir, name string, use x509.ExtKeyUsage) {
	t.Helper()
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(read("ca.pem"))
	between.AppendCertsFromPEM(read(name))
	leaf := parsePEM(t, read(name))
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// TestInspectServer asks a running hub, by name and by kind of key.
func TestInspectServer(t *testing.T) {
	t.Parallel()
	p := startDev(t, t.TempDir())
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(p.ready.Ports.MQTT))
	look := func(args ...string) inspection {
		t.Helper()
		var found inspection
		r := must(t, append([]string{"cert", "inspect", "-o", "json", address}, args...)...)
		if err := json.Unmarshal([]byte(r.out), &found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	modern, old := look(), look("--rsa", "--name", "other.example")
	if len(modern.Certificates) != 1 || modern.Certificates[0].Key != "ECDSA, P-256" || modern.Version != "TLS 1.3" || modern.Name != "127.0.0.1" {
		t.Errorf("got %+v", modern)
	}
	if len(old.Certificates) != 1 || old.Certificates[0].Key != "RSA, 2048 bits" || old.Version != "TLS 1.2" {
		t.Errorf("got %+v", old)
	}
	for _, f := range modern.Findings {
		if f.Level == "error" {
			t.Errorf("a development hub's certificate: %+v", f)
		}
	}
	text := must(t, "cert", "inspect", address, "--name", "other.example").out
	wantAll(t, text, "by TLS 1.3, to who asks for other.example", "the name other.example is not in it")
	p.stopCleanly(t)
	if r := hubgate(t, nil, "cert", "inspect", address); r.code != exitFailure {
		t.Errorf("nobody there: exit code %d: %s", r.code, r.err)
	}
}

// TestInspectPathWithColon: a path is no address because it has a colon, as all have
// on Windows.
func TestInspectPathWithColon(t *testing.T) {
	t.Parallel()
	r := hubgate(t, nil, "cert", "inspect", `C:\certs\missing.pem`)
	if r.code != exitNotFound {
		t.Errorf("got exit code %d: %s", r.code, r.err)
	}
	wantAll(t, r.err, "neither a file that can be read nor an address")
}

func parsePEM(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	certs, err := pki.ParseCertificates(text)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

// TestExpiryOfConfiguration reads what a configuration names, and revocation
// lists, whose end is their next update.
func TestExpiryOfConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, "cert", "ca", "--out-dir", dir)
	must(t, "cert", "server", "hub.example", "--ca", dir, "--out-dir", dir, "--days", "40")
	must(t, "cert", "ca", "--out-dir", filepath.Join(dir, "devices"), "--days", "50")
	if err := os.Rename(filepath.Join(dir, "devices", "ca.pem"), filepath.Join(dir, "issuer.pem")); err != nil {
		t.Fatal(err)
	}
	issuer, err := pki.LoadIssuer(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(3*day + time.Hour),
	}, issuer.Certificate(), issuer.Key)
	if err != nil {
		t.Fatal(err)
	}
	crl := write(t, dir, "ca.crl", string(list))
	conf := write(t, dir, "hubgate.yaml", "data_dir: "+filepath.Join(dir, "data")+"\ntls: {cert_files: ["+filepath.Join(dir, "hub.example.pem")+
		"], issuer_cert_file: "+
		filepath.Join(dir, "issuer.pem")+"}\nnats: {ca: "+filepath.Join(dir, "ca.pem")+", leaf: {ca: "+filepath.Join(dir, "ca.pem")+"}}\n")
	r := hubgate(t, nil, "cert", "expiry", "--config", conf, crl, "--within", "7d", "-o", "json")
	if r.code != exitFailure {
		t.Errorf("got exit code %d: %s", r.code, r.err)
	}
	wantAll(t, r.err, "1 of 5 end within 7d")
	line, _, _ := strings.Cut(r.out, "\n")
	var all []ending
	if err := json.Unmarshal([]byte(line), &all); err != nil {
		t.Fatalf("%v: %s", err, r.out)
	}
	var got []string
	for _, e := range all {
		got = append(got, e.What+" "+strconv.Itoa(e.DaysLeft))
	}
	if s := strings.Join(got, ", "); s != "revocation list 3, server 39, issuer 49, NATS authority 3649, leaf's authority 3649" {
		t.Errorf("got %s", s)
	}
	if r := hubgate(t, nil, "cert", "expiry", "--config", conf, "--within", "7d"); r.code != exitOK {
		t.Errorf("got exit code %d: %s", r.code, r.err)
	}
	r = hubgate(t, nil, "cert", "expiry", "--config", conf, filepath.Join(dir, "nowhere"))
	if r.code != exitFailure {
		t.Errorf("got exit code %d", r.code)
	}
	wantAll(t, r.err, "nowhere")
	wantAll(t, r.out, "hub.example")
}

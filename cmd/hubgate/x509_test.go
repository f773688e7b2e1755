package main

import (
	"crypto/tls"
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/iothub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/trust"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// do runs a command against the hub of a data directory, which must succeed.
func do(t *testing.T, dir string, args ...string) string {
	t.Helper()
	r := hubgate(t, []string{"HUBGATE_DATA_DIR=" + dir}, args...)
	if r.code != exitOK {
		t.Fatalf("hubgate %s: exit %d, %s", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// dialX509 connects a device that shows a certificate, and no token.
func dialX509(t *testing.T, p *process, connection string, set func(*paho.ClientOptions)) (*testDevice, error) {
	t.Helper()
	return dialDeviceWith(t, p, connection, func(o *paho.ClientOptions) {
		o.SetPassword("")
		set(o)
	})
}

func showing(c tls.Certificate) func(*paho.ClientOptions) {
	return func(o *paho.ClientOptions) { o.TLSConfig.Certificates = []tls.Certificate{c} }
}

// connectX509 is dialX509 for a device that is let in.
func connectX509(t *testing.T, p *process, connection string, c tls.Certificate) *testDevice {
	t.Helper()
	d, err := dialX509(t, p, connection, showing(c))
	if err != nil {
		t.Fatal(err)
	}
	d.send(t, "", []byte("by certificate"))
	return d
}

// A device gets in by its thumbprint, over both versions of TLS and over
// WebSockets, until its thumbprint is replaced, and its timeline says so.
func TestThumbprint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	first, second := trusttest.SelfSigned(t, "first"), trusttest.SelfSigned(t, "second")
	file := write(t, dir, "first.pem", string(first.PEM()))
	wantAll(t, do(t, dir, "device", "create", "self", "--auth", "self-signed", "--certificate", file),
		"selfSigned", trust.Thumbprint(first.Cert), "HostName=127.0.0.1;DeviceId=self;x509=true")
	wantAll(t, do(t, dir, "device", "show", "self"), "Thumbprint", trust.Thumbprint(first.Cert))
	connection := strings.TrimSpace(do(t, dir, "device", "connection-string", "self"))
	for version, number := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		d, err := dialX509(t, p, connection, func(o *paho.ClientOptions) {
			showing(first.TLS())(o)
			o.TLSConfig.MaxVersion = number
		})
		if err != nil {
			t.Fatalf("TLS %s: %v", version, err)
		}
		d.Disconnect(0)
	}
	ws, err := dialX509(t, p, connection, func(o *paho.ClientOptions) {
		showing(first.TLS())(o)
		o.Servers = nil
		o.AddBroker("wss://127.0.0.1:" + strconv.Itoa(p.ready.Ports.HTTPS) + gateway.WebSocketPath)
		o.SetHTTPHeaders(map[string][]string{"Sec-WebSocket-Protocol": {"mqtt"}})
	})
	if err != nil {
		t.Fatalf("WebSocket: %v", err)
	}
	ws.Disconnect(0)
	d := connectX509(t, p, connection, first.TLS())
	do(t, dir, "device", "set-auth", "self", "--thumbprint", colons(trust.Thumbprint(second.Cert)))
	d.wantLost(t)
	if _, err := dialX509(t, p, connection, showing(first.TLS())); err == nil {
		t.Error("the old certificate is let in")
	}
	d = connectX509(t, p, connection, second.TLS())
	do(t, dir, "device", "set-auth", "self", "--auth", "sas")
	d.wantLost(t)
	if _, err := dialX509(t, p, connection, showing(second.TLS())); err == nil {
		t.Error("a device that is registered for tokens is let in by certificate")
	}
	awaitWhy(t, dir, "self", "the thumbprint of the certificate that self connected with was replaced",
		"neither of those registered for self", "no longer authenticates by the kind of certificate",
		"self is registered for SAS tokens, and came with a certificate")
}

// colons writes a thumbprint as openssl does.
func colons(hex string) string {
	var parts []string
	for i := 0; i+2 <= len(hex); i += 2 {
		parts = append(parts, hex[i:i+2])
	}
	return strings.Join(parts, ":")
}

// awaitWhy waits until the timeline of a device has all of words.
func awaitWhy(t *testing.T, dir, id string, words ...string) {
	t.Helper()
	out := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the timeline of %s:\n%s", id, out)
		}
	})
	for _, word := range words {
		eventually(t, "the timeline says "+word, func() bool {
			out = do(t, dir, "why", id)
			return strings.Contains(out, word)
		})
	}
}

// A CA is registered, proved, replaced by nothing: what it vouches for comes and
// goes with it, resumed TLS sessions included.
func TestAuthority(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	root := trusttest.Root(t, "root")
	line := root.CA(t, "line")
	ca := write(t, dir, "root.pem", string(root.PEM()))
	wantAll(t, do(t, dir, "device", "create", "d", "--auth", "ca"), "certificateAuthority", "x509=true")
	do(t, dir, "module", "create", "d/m", "--auth", "ca")
	connection := strings.TrimSpace(do(t, dir, "device", "connection-string", "d"))
	module := strings.TrimSpace(do(t, dir, "module", "connection-string", "d/m"))
	leaf, moduleLeaf := line.Leaf(t, "d"), line.Leaf(t, "d/m")

	wantAll(t, do(t, dir, "authority", "add", "plant", ca), "Verified", "no")
	if _, err := dialX509(t, p, connection, showing(leaf.TLS(line))); err == nil {
		t.Error("a CA that is not verified vouches for a device")
	}
	code := strings.TrimSpace(do(t, dir, "authority", "verification-code", "plant"))
	proof := write(t, dir, "proof.pem", string(root.Leaf(t, code).PEM()))
	wantAll(t, do(t, dir, "authority", "verify", "plant", proof), "plant is verified")
	wantAll(t, do(t, dir, "authority", "list"), "plant", "yes", "CN=root")

	cache := tls.NewLRUClientSessionCache(4)
	resuming := func(o *paho.ClientOptions) {
		showing(leaf.TLS(line))(o)
		o.TLSConfig.ClientSessionCache = cache
	}
	eventually(t, "the CA vouches for the device", func() bool {
		d, err := dialX509(t, p, connection, resuming)
		if err == nil {
			d.Disconnect(0)
		}
		return err == nil
	})
	d, m := connectX509(t, p, connection, leaf.TLS(line)), connectX509(t, p, module, moduleLeaf.TLS(line))
	if _, err := dialX509(t, p, connection, showing(line.Leaf(t, "D").TLS(line))); err == nil {
		t.Error("a certificate for another device is let in")
	}
	do(t, dir, "authority", "remove", "plant")
	d.wantLost(t)
	m.wantLost(t)
	if _, err := dialX509(t, p, connection, resuming); err == nil {
		t.Error("a resumed TLS session is let in by a CA that was removed")
	}
	awaitWhy(t, dir, "d", `the CA "root", registered as "plant", is not verified yet`, `is for "D" (its common name)`,
		`the CA "root", which vouches for the certificate, is no longer trusted`, "the hub trusts no CA")
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Authorities and revocation lists of files, at the start.
func TestTrustOfFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := trusttest.Root(t, "root")
	gone, stays := root.Leaf(t, "gone"), root.Leaf(t, "stays")
	ca := write(t, dir, "root.pem", string(root.PEM()))
	list := write(t, dir, "root.crl", string(root.Revoke(t, time.Now().Add(-time.Minute), gone)))
	p := startDev(t, dir, "--tls-client-ca", ca, "--tls-crl", list)
	for id, leaf := range map[string]*trusttest.Pair{"gone": gone, "stays": stays} {
		do(t, dir, "device", "create", id, "--auth", "ca")
		connection := strings.TrimSpace(do(t, dir, "device", "connection-string", id))
		d, err := dialX509(t, p, connection, showing(leaf.TLS()))
		if (err == nil) != (id == "stays") {
			t.Errorf("%s: %v", id, err)
		}
		if err == nil {
			d.Disconnect(0)
		}
	}
	awaitWhy(t, dir, "gone", `the certificate "gone" was revoked by its issuer "root"`)
	wantAll(t, p.log.String(), "has expired at", "root.crl")
}

// A revocation list that changes on disk cuts who it revokes, and nobody else.
func TestRevokedWhileConnected(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := trusttest.Root(t, "root")
	line := root.CA(t, "line")
	until := time.Now().Add(time.Hour)
	ca := write(t, dir, "root.pem", string(root.PEM()))
	list := write(t, dir, "line.crl", string(line.Revoke(t, until)))
	p := startDev(t, dir, "--tls-client-ca", ca, "--tls-crl", list)
	devices := map[string]*testDevice{}
	leaves := map[string]*trusttest.Pair{"gone": line.Leaf(t, "gone"), "stays": line.Leaf(t, "stays")}
	for id, leaf := range leaves {
		do(t, dir, "device", "create", id, "--auth", "ca")
		devices[id] = connectX509(t, p, strings.TrimSpace(do(t, dir, "device", "connection-string", id)), leaf.TLS(line))
	}
	write(t, dir, "line.crl", string(line.Revoke(t, until, leaves["gone"])))
	do(t, dir, "reload")
	devices["gone"].wantLost(t)
	devices["stays"].send(t, "", []byte("still here"))
	awaitWhy(t, dir, "gone", `the certificate was revoked by its issuer "line"`)
}

func TestBadTrustFilesStopTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	leaf := write(t, dir, "leaf.pem", string(trusttest.SelfSigned(t, "d").PEM()))
	text := write(t, dir, "text", "hello")
	for name, tc := range map[string]struct {
		cfg  config.TLS
		want []string
	}{
		"no file":       {config.TLS{ClientCAFiles: []string{"nobody.pem"}}, []string{"nobody.pem"}},
		"no CA":         {config.TLS{ClientCAFiles: []string{leaf}}, []string{leaf, "is not that of a CA"}},
		"no list":       {config.TLS{CRLFiles: []string{text}}, []string{text, "no revocation list"}},
		"no list there": {config.TLS{CRLFiles: []string{"nobody.crl"}}, []string{"nobody.crl"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := loadTrust(tc.cfg)
			if err == nil {
				t.Fatal("no error")
			}
			wantAll(t, err.Error(), tc.want...)
		})
	}
}

// Files that have changed take effect, and a bad one changes nothing.
func TestApplyTrust(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := trusttest.Root(t, "root")
	leaf := root.Leaf(t, "d")
	n := &node{trust: &trust.Pool{}, face: &iothub.Face{}, gateway: &gateway.Server{}, log: zerolog.Nop()}
	n.face.Trust = n.trust
	cfg := config.TLS{ClientCAFiles: []string{write(t, dir, "ca.pem", string(root.PEM()))}}
	verify := func() error {
		_, err := n.trust.Verify(leaf.Chain(), time.Now())
		return err
	}
	if err := n.applyTrust(cfg); err != nil || verify() != nil {
		t.Fatalf("apply: %v, then %v", err, verify())
	}
	cfg.CRLFiles = []string{write(t, dir, "ca.crl", "damaged")}
	if err := n.applyTrust(cfg); err == nil || verify() != nil {
		t.Errorf("apply of a bad list: %v, then %v", err, verify())
	}
	write(t, dir, "ca.crl", string(root.Revoke(t, time.Now().Add(time.Hour), leaf)))
	if err := n.applyTrust(cfg); err != nil || verify() == nil {
		t.Errorf("apply of the list: %v, and what it revokes is let in", err)
	}
	if err := n.applyTrust(config.TLS{}); err != nil || verify() == nil {
		t.Errorf("apply of nothing: %v, and the CA that is gone lets in", err)
	}
}

func TestAuthFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair := trusttest.SelfSigned(t, "d")
	file := write(t, dir, "cert.pem", string(pair.PEM()))
	first := trust.Thumbprint(pair.Cert)
	self := func(a, b string) identity.Authentication {
		return identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: identity.Thumbprints{PrimaryThumbprint: a, SecondaryThumbprint: b}}
	}
	keys := identity.SymmetricKey{PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey()}
	for name, tc := range map[string]struct {
		flags authFlags
		keys  identity.SymmetricKey
		want  identity.Authentication
		fails string
	}{
		"nothing":               {authFlags{}, identity.SymmetricKey{}, identity.Authentication{Type: identity.AuthSAS}, ""},
		"keys":                  {authFlags{Auth: "sas"}, keys, identity.Authentication{Type: identity.AuthSAS, SymmetricKey: keys}, ""},
		"CA":                    {authFlags{Auth: "ca"}, identity.SymmetricKey{}, identity.Authentication{Type: identity.AuthCA}, ""},
		"certificate":           {authFlags{Certificate: file}, identity.SymmetricKey{}, self(first, ""), ""},
		"certificate, and next": {authFlags{Certificate: file, SecondaryThumbprint: "AA:bb"}, identity.SymmetricKey{}, self(first, "AAbb"), ""},
		"thumbprint":            {authFlags{Auth: "self-signed", Thumbprint: colons(first)}, identity.SymmetricKey{}, self(first, ""), ""},
		"self-signed by what":   {authFlags{Auth: "self-signed"}, identity.SymmetricKey{}, identity.Authentication{}, "needs the certificate"},
		"twice":                 {authFlags{Certificate: file, Thumbprint: first}, identity.SymmetricKey{}, identity.Authentication{}, "give one of them"},
		"CA and thumbprint":     {authFlags{Auth: "ca", Thumbprint: first}, identity.SymmetricKey{}, identity.Authentication{}, "a thumbprint is for"},
		"CA and keys":           {authFlags{Auth: "ca"}, keys, identity.Authentication{}, "keys are for"},
		"no certificate":        {authFlags{Certificate: write(t, dir, "x", "x")}, identity.SymmetricKey{}, identity.Authentication{}, "certificate"},
		"no file":               {authFlags{Certificate: filepath.Join(dir, "nobody")}, identity.SymmetricKey{}, identity.Authentication{}, "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.flags.authentication(tc.keys)
			if (err != nil) != (tc.fails != "") || err != nil && !strings.Contains(err.Error(), tc.fails) || err == nil && got != tc.want {
				t.Errorf("got %+v, %v, want %+v, %q", got, err, tc.want, tc.fails)
			}
		})
	}
}

// The commands about authorities, for scripts.
func TestAuthorityCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startDev(t, dir)
	root := trusttest.Root(t, "root")
	ca := write(t, dir, "root.pem", string(root.PEM()))
	var a struct {
		Name       string `json:"name"`
		Properties struct {
			IsVerified bool `json:"isVerified"`
		} `json:"properties"`
	}
	if err := json.Unmarshal([]byte(do(t, dir, "authority", "add", "plant", ca, "--verified", "-o", "json")), &a); err != nil || a.Name != "plant" || !a.Properties.IsVerified {
		t.Errorf("added %+v, %v", a, err)
	}
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	for _, tc := range []struct {
		code int
		says string
		args []string
	}{
		{exitConflict, "exists already", []string{"authority", "add", "plant", ca}},
		{exitOK, "plant", []string{"authority", "add", "plant", ca, "--replace"}},
		{exitNotFound, "nobody", []string{"authority", "show", "nobody"}},
		{exitUsage, "no verification code", []string{"authority", "verify", "plant", ca}},
		{exitUsage, "certificate", []string{"authority", "add", "x", write(t, dir, "text", "hello")}},
		{exitOK, "plant is removed", []string{"authority", "remove", "plant"}},
		{exitNotFound, "plant", []string{"authority", "remove", "plant"}},
		{exitOK, "[]", []string{"authority", "list", "-o", "json"}},
	} {
		r := hubgate(t, env, tc.args...)
		if r.code != tc.code || !strings.Contains(r.out+r.err, tc.says) {
			t.Errorf("hubgate %s: exit %d, %s%s; want %d, %q", strings.Join(tc.args, " "), r.code, r.out, r.err, tc.code, tc.says)
		}
	}
}

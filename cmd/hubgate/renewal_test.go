package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/iothub"
	"github.com/hubgate/hubgate/trust"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// renewer is a device that renews its certificate, in the bytes of the SDKs.
type renewer struct {
	*testDevice

	answers chan paho.Message
}

// connectRenewer connects with a certificate. With hold it acknowledges
// nothing that it gets.
func connectRenewer(t *testing.T, p *process, connection string, c tls.Certificate, hold bool) *renewer {
	t.Helper()
	r := &renewer{answers: make(chan paho.Message, 16)}
	d, err := dialX509(t, p, connection, func(o *paho.ClientOptions) {
		showing(c)(o)
		o.SetUsername(strings.Replace(o.Username, "2021-04-12", "2025-08-01-preview", 1)).SetAutoAckDisabled(hold)
		o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { r.answers <- m })
	})
	if err != nil {
		t.Fatal(err)
	}
	r.testDevice = d
	return r
}

func (r *renewer) subscribe(t *testing.T) {
	t.Helper()
	if token := r.Subscribe("$iothub/credentials/res/#", 1, nil); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("SUBSCRIBE: %v", token.Error())
	}
}

// request asks for a certificate, as the Python SDK does with "replace", and
// the C SDK without.
func (r *renewer) request(t *testing.T, rid string, key crypto.Signer, replace string) {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: r.id.String()}}, key)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"id":"` + r.id.String() + `","csr":"` + base64.StdEncoding.EncodeToString(der) + `"`
	if replace != "" {
		body += `,"replace":"` + replace + `"`
	}
	token := r.Publish("$iothub/credentials/POST/issueCertificate/?$rid="+rid, 1, false, body+"}")
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("PUBLISH: %v", token.Error())
	}
}

// answer waits for the next answer.
func (r *renewer) answer(t *testing.T, status, rid string) []byte {
	t.Helper()
	select {
	case m := <-r.answers:
		if want := "$iothub/credentials/res/" + status + "/?$rid=" + rid; m.Topic() != want {
			t.Fatalf("an answer on %s, want %s: %s", m.Topic(), want, m.Payload())
		}
		return m.Payload()
	case err := <-r.lost:
		t.Fatalf("the connection is lost: %v", err)
	case <-time.After(patience):
		t.Fatalf("no answer %s to %s", status, rid)
	}
	return nil
}

// issued waits for 202 and 200 and returns what a device shows from then on.
func (r *renewer) issued(t *testing.T, rid string, key crypto.Signer) tls.Certificate {
	t.Helper()
	var accepted, done struct {
		CorrelationID    string
		OperationExpires time.Time
		Certificates     [][]byte
	}
	if err := json.Unmarshal(r.answer(t, "202", rid), &accepted); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(r.answer(t, "200", rid), &done); err != nil {
		t.Fatal(err)
	}
	if done.CorrelationID == "" || done.CorrelationID != accepted.CorrelationID || len(done.Certificates) == 0 || !accepted.OperationExpires.After(time.Now()) {
		t.Fatalf("%+v then %+v", accepted, done)
	}
	return tls.Certificate{Certificate: done.Certificates, PrivateKey: key}
}

func (r *renewer) renew(t *testing.T, rid string, key crypto.Signer) tls.Certificate {
	t.Helper()
	r.subscribe(t)
	r.request(t, rid, key, "*")
	return r.issued(t, rid, key)
}

func ecdsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A device connects with a certificate that is about to end, renews it in-band
// on the same connection, and is let in with the new one when the old one has
// ended.
func TestRenewal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant := trusttest.Root(t, "plant")
	p := startDev(t, dir, "--tls-client-ca", write(t, dir, "plant.pem", string(plant.PEM())))
	do(t, dir, "device", "create", "pump", "--auth", "ca")
	connection := strings.TrimSpace(do(t, dir, "device", "connection-string", "pump"))
	old := plant.Leaf(t, "pump", trusttest.Valid(time.Now().Add(-time.Hour), time.Now().Add(2*patience/3)))
	r := connectRenewer(t, p, connection, old.TLS(), false)
	key := ecdsaKey(t)
	next := r.renew(t, "8d1c-4f", key)
	r.send(t, "", []byte("the connection stays"))
	leaf, err := x509.ParseCertificate(next.Certificate[0])
	if err != nil || leaf.Subject.String() != "CN=pump" || leaf.Issuer.CommonName != "Hubgate development device CA" || time.Until(leaf.NotAfter) < 89*24*time.Hour {
		t.Fatalf("%v: %v", err, leaf)
	}
	r.wantLost(t) // the old one has ended
	if _, err := dialX509(t, p, connection, showing(old.TLS())); err == nil {
		t.Error("the old certificate is let in after its end")
	}
	r = connectRenewer(t, p, connection, next, false)
	r.send(t, "", []byte("by the new certificate"))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	connectRenewer(t, p, connection, r.renew(t, "8d1c-50", rsaKey), false).send(t, "", []byte("and the next one"))
	awaitWhy(t, dir, "pump", "expired during the connection")
}

// A device by thumbprint: the new certificate is good beside the one in use,
// and takes the place of the one before.
func TestRenewalByThumbprint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	first := trusttest.SelfSigned(t, "whatever")
	do(t, dir, "device", "create", "self", "--auth", "self-signed", "--certificate", write(t, dir, "first.pem", string(first.PEM())))
	connection := strings.TrimSpace(do(t, dir, "device", "connection-string", "self"))
	r := connectRenewer(t, p, connection, first.TLS(), false)
	second := r.renew(t, "rid-1", ecdsaKey(t))
	r.send(t, "", []byte("the connection stays"))
	r.Disconnect(0)
	connectX509(t, p, connection, first.TLS()).Disconnect(0)
	r = connectRenewer(t, p, connection, second, false)
	third := r.renew(t, "rid-2", ecdsaKey(t))
	r.send(t, "", []byte("and stays"))
	r.Disconnect(0)
	if _, err := dialX509(t, p, connection, showing(first.TLS())); err == nil {
		t.Error("the certificate before the last is still let in")
	}
	connectX509(t, p, connection, second).Disconnect(0)
	connectX509(t, p, connection, third).Disconnect(0)
}

// A gateway that is killed before the device has its certificate: the next one
// answers with the same, when the device is back.
func TestRenewalSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant := trusttest.Root(t, "plant")
	file := write(t, dir, "plant.pem", string(plant.PEM()))
	p := startDev(t, dir, "--tls-client-ca", file)
	do(t, dir, "device", "create", "pump", "--auth", "ca")
	connection := strings.TrimSpace(do(t, dir, "device", "connection-string", "pump"))
	shown := plant.Leaf(t, "pump").TLS()
	r := connectRenewer(t, p, connection, shown, true)
	r.subscribe(t)
	key := ecdsaKey(t)
	r.request(t, "rid-1", key, "")
	first := r.issued(t, "rid-1", key)
	if err := p.stop(t, syscall.SIGKILL); err == nil {
		t.Fatal("it was not killed")
	}
	p = startDev(t, dir, "--tls-client-ca", file)
	r = connectRenewer(t, p, connection, shown, false) // and does not subscribe: its session has it
	again := r.issued(t, "rid-1", key)
	if string(again.Certificate[0]) != string(first.Certificate[0]) {
		t.Error("it is another certificate")
	}
	connectX509(t, p, connection, again).Disconnect(0)
}

// Identities with tokens get none, unless the configuration says so; the
// timeline tells.
func TestRenewalByToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	r := &renewer{answers: make(chan paho.Message, 16)}
	d, err := dialDeviceWith(t, p, p.ready.DeviceConnectionString, func(o *paho.ClientOptions) {
		o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { r.answers <- m })
	})
	if err != nil {
		t.Fatal(err)
	}
	r.testDevice = d
	r.request(t, "nobody-hears", ecdsaKey(t), "")
	r.subscribe(t)
	r.request(t, "rid-1", ecdsaKey(t), "")
	if body := string(r.answer(t, "412", "rid-1")); !strings.Contains(body, `"errorCode":412005`) {
		t.Error(body)
	}
	r.request(t, "rid-2", ecdsaKey(t), "")
	r.answer(t, "412", "rid-2")
	r.send(t, "", []byte("the connection stays"))
	awaitWhy(t, dir, "dev1", "renewalRefused", "412005", "tls.issue_to_sas", "has not subscribed to $iothub/credentials/res/#")
}

func TestLoadIssuer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, leaf := trusttest.Root(t, "root"), trusttest.SelfSigned(t, "leaf")
	ca, caKey := write(t, dir, "ca.pem", string(root.PEM())), write(t, dir, "ca.key", string(root.KeyPEM(t)))
	other, otherKey := write(t, dir, "leaf.pem", string(leaf.PEM())), write(t, dir, "leaf.key", string(leaf.KeyPEM(t)))
	for name, tc := range map[string]struct{ cert, key, says string }{
		"none":        {"", "", ""},
		"good":        {ca, caKey, ""},
		"no file":     {filepath.Join(dir, "nobody"), caKey, "read the issuing authority"},
		"no key":      {ca, filepath.Join(dir, "nobody"), "read the key of the issuing authority"},
		"another key": {ca, otherKey, "ca.pem with the key"},
		"no CA":       {other, otherKey, "CA:TRUE"},
	} {
		issuer, err := loadIssuer(config.TLS{IssuerCertFile: tc.cert, IssuerKeyFile: tc.key, IssuedLifetime: 3600 * config.Second})
		if tc.says == "" && (err != nil || (issuer != nil) != (tc.cert != "")) {
			t.Errorf("%s: %v, %v", name, issuer, err)
		}
		if tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
}

// The development authority for devices is made once, and vouches for nobody
// else's devices.
func TestDevelopmentIssuer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	made, err := os.ReadFile(filepath.Join(dir, "certs", "device-ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	p.stopCleanly(t)
	startDev(t, dir).stopCleanly(t)
	again, err := os.ReadFile(filepath.Join(dir, "certs", "device-ca.pem"))
	if err != nil || string(again) != string(made) {
		t.Errorf("it is another one: %v", err)
	}
}

// What the hub issues is let in, also when its other authorities are read again.
func TestTheIssuerIsTrusted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, other := trusttest.Root(t, "own"), trusttest.Root(t, "other")
	issuer, err := loadIssuer(config.TLS{
		IssuerCertFile: write(t, dir, "own.pem", string(own.PEM(other))), IssuerKeyFile: write(t, dir, "own.key", string(own.KeyPEM(t))),
	})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{trust: &trust.Pool{}, face: &iothub.Face{}, gateway: &gateway.Server{}, log: zerolog.Nop(), issuer: issuer}
	n.face.Trust = n.trust
	for _, files := range [][]string{{write(t, dir, "third.pem", string(trusttest.Root(t, "third").PEM()))}, nil} {
		if err := n.applyTrust(config.TLS{ClientCAFiles: files}); err != nil {
			t.Fatal(err)
		}
		if _, err := n.trust.Verify(own.Leaf(t, "d").Chain(), time.Now()); err != nil {
			t.Errorf("after %q: %v", files, err)
		}
		if _, err := n.trust.Verify(other.Leaf(t, "d").Chain(), time.Now()); err == nil {
			t.Error("what stands behind the issuer in its file is trusted too")
		}
	}
}

package credential

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

func device() hub.Identity { return hub.Identity{Device: "dev1"} }

func ecKey(tb testing.TB, curve elliptic.Curve) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func rsaKey(tb testing.TB, bits int) crypto.Signer {
	tb.Helper()
	tb.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// csrOf makes a request for a name, in DER.
func csrOf(tb testing.TB, name string, key crypto.Signer, edits ...func(*x509.CertificateRequest)) []byte {
	tb.Helper()
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}
	for _, edit := range edits {
		edit(template)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// bodyOf is what the SDKs send: Java with null, C without replace.
func bodyOf(id string, csr []byte, replace string) []byte {
	m := map[string]any{"id": id, "csr": base64.StdEncoding.EncodeToString(csr), "replace": nil}
	if replace != "" {
		m["replace"] = replace
	}
	b, _ := json.Marshal(m)
	return b
}

// authorityOf makes an issuing authority, below another one if parent is set.
func authorityOf(tb testing.TB, name string, until time.Time, parent *x509.Certificate, above crypto.Signer) (*x509.Certificate, crypto.Signer) {
	tb.Helper()
	key := ecKey(tb, elliptic.P256())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if parent == nil {
		parent, above = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), above)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert, key
}

func pemOf(tb testing.TB, key crypto.Signer, certs ...*x509.Certificate) (certText, keyText []byte) {
	tb.Helper()
	for _, c := range certs {
		certText = append(certText, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return certText, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// memory is a Store; fail is asked before each write.
type memory struct {
	mu   sync.Mutex
	ops  map[hub.Identity]Operation
	fail func(Operation) error
}

func (m *memory) Get(_ context.Context, id hub.Identity) (Operation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops[id], nil
}

func (m *memory) Put(_ context.Context, op Operation) (uint64, error) {
	if m.fail != nil {
		if err := m.fail(op); err != nil {
			return 0, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ops == nil {
		m.ops = map[hub.Identity]Operation{}
	}
	if m.ops[op.ID].Revision != op.Revision {
		return 0, hub.Errorf(hub.PreconditionFailed, "revision")
	}
	op.Revision++
	m.ops[op.ID] = op
	return op.Revision, nil
}

// office is a desk with a clock and a root above its issuer.
type office struct {
	*Desk

	store *memory
	root  *x509.Certificate
	clock time.Time
}

func newOffice(tb testing.TB) *office {
	tb.Helper()
	o := &office{store: &memory{}, clock: time.Now()}
	root, rootKey := authorityOf(tb, "root", time.Now().Add(1000*time.Hour), nil, nil)
	cert, key := authorityOf(tb, "issuer", time.Now().Add(500*time.Hour), root, rootKey)
	certText, keyText := pemOf(tb, key, cert, root)
	issuer, err := NewIssuer(certText, keyText, 90*time.Hour)
	if err != nil {
		tb.Fatal(err)
	}
	o.root = root
	o.Desk = &Desk{Issuer: issuer, Store: o.store, Now: func() time.Time { return o.clock }}
	return o
}

func (o *office) accept(rid string, body []byte) (Operation, error) {
	return o.Accept(context.Background(), device(), "g", rid, body)
}

// serve takes a request through to its end.
func (o *office) serve(tb testing.TB, rid string, body []byte) Operation {
	tb.Helper()
	op, err := o.accept(rid, body)
	if err == nil {
		op, _, err = o.Issue(tb.Context(), op)
	}
	if err == nil {
		err = o.Close(tb.Context(), op)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return op
}

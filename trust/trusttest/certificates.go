// Package trusttest makes certificate authorities, certificates and revocation
// lists for tests, in memory and as bad as a test wants them.
package trusttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// Edit changes a certificate before it is signed.
type Edit func(*x509.Certificate)

// Pair is a certificate with its key.
type Pair struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// Root makes an authority that has signed itself.
func Root(tb testing.TB, name string, edits ...Edit) *Pair {
	tb.Helper()
	return sign(tb, nil, authority(name), edits)
}

// CA makes an authority below p.
func (p *Pair) CA(tb testing.TB, name string, edits ...Edit) *Pair {
	tb.Helper()
	return sign(tb, p, authority(name), edits)
}

// Leaf makes a client's certificate below p.
func (p *Pair) Leaf(tb testing.TB, name string, edits ...Edit) *Pair {
	tb.Helper()
	return sign(tb, p, client(name), edits)
}

// SelfSigned makes a client's certificate that nobody vouches for.
func SelfSigned(tb testing.TB, name string, edits ...Edit) *Pair {
	tb.Helper()
	return sign(tb, nil, client(name), edits)
}

func authority(name string) *x509.Certificate {
	c := client(name)
	c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
	return c
}

func client(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

func sign(tb testing.TB, parent *Pair, template *x509.Certificate, edits []Edit) *Pair {
	tb.Helper()
	var err error
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		tb.Fatal(err)
	}
	for _, edit := range edits {
		edit(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Pair{Key: key}
	if parent == nil {
		parent = &Pair{Cert: template, Key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Cert, key.Public(), parent.Key)
	if err != nil {
		tb.Fatal(err)
	}
	if p.Cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	return p
}

// Valid lets a certificate be valid between two times.
func Valid(from, to time.Time) Edit {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// Revoke makes a revocation list of p, in DER, that is current until then.
func (p *Pair) Revoke(tb testing.TB, until time.Time, revoked ...*Pair) []byte {
	tb.Helper()
	list := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: until.Add(-time.Hour), NextUpdate: until}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: r.Cert.SerialNumber, RevocationTime: until.Add(-time.Hour),
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, p.Cert, p.Key)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// Chain is the certificates of p and of others, in this order.
func (p *Pair) Chain(above ...*Pair) []*x509.Certificate {
	all := []*x509.Certificate{p.Cert}
	for _, a := range above {
		all = append(all, a.Cert)
	}
	return all
}

// TLS is what a client shows in TLS: the chain, and its key.
func (p *Pair) TLS(above ...*Pair) tls.Certificate {
	c := tls.Certificate{PrivateKey: p.Key}
	for _, cert := range p.Chain(above...) {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c
}

// PEM is the same chain as text.
func (p *Pair) PEM(above ...*Pair) []byte {
	var text []byte
	for _, cert := range p.Chain(above...) {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return text
}

// KeyPEM is the key as text, in PKCS #8.
func (p *Pair) KeyPEM(tb testing.TB) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

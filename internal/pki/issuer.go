package pki

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// KeyKind is a kind of key.
type KeyKind string

// The kinds of keys: ECDSA on P-256, and RSA with 2048 bits, or 3072 for an
// authority, which lives longer.
const (
	ECDSA KeyKind = "ecdsa"
	RSA   KeyKind = "rsa"
)

func (k KeyKind) make(bits int) (crypto.Signer, error) {
	if k == RSA {
		return newRSA(bits)
	}
	return newECDSA()
}

const (
	leafBits      = 2048
	authorityBits = 3072
)

// Request is what a certificate is to be.
type Request struct {
	Name  string   // common name
	Names []string // DNS names and IP addresses of a server
	Kind  KeyKind
	Until time.Time
}

// Issued is a certificate with its key and, behind it, those that lead to a
// root, but not the root.
type Issued struct {
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// Certificate is the certificate itself.
func (i *Issued) Certificate() *x509.Certificate { return i.Chain[0] }

// CertPEM is the chain, as servers and SDKs want it in a file.
func (i *Issued) CertPEM() []byte {
	var text []byte
	for _, cert := range i.Chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: cert.Raw})...)
	}
	return text
}

// KeyPEM is the key in PKCS #8.
func (i *Issued) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.Key)
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

// NewRoot makes a private authority, which may have one more below it.
func NewRoot(r Request, now time.Time) (*Issued, error) {
	return (*Issued)(nil).sign(r, authorityTemplate(1), now)
}

// Intermediate makes an authority below a root.
func (i *Issued) Intermediate(r Request, now time.Time) (*Issued, error) {
	if c := i.Certificate(); !c.IsCA || c.MaxPathLenZero {
		return nil, fmt.Errorf("the authority %s may not have others below it", c.Subject)
	}
	return i.sign(r, authorityTemplate(0), now)
}

// Server makes the certificate of a server.
func (i *Issued) Server(r Request, now time.Time) (*Issued, error) {
	t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range r.Names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
			continue
		}
		t.DNSNames = append(t.DNSNames, strings.ToLower(name))
	}
	return i.sign(r, t, now)
}

// Device makes the certificate of a device or module, whose id is its common
// name. Without an issuer it is signed by itself.
func (i *Issued) Device(r Request, now time.Time) (*Issued, error) {
	return i.sign(r, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, now)
}

func authorityTemplate(below int) *x509.Certificate {
	return &x509.Certificate{
		IsCA: true, MaxPathLen: below, MaxPathLenZero: below == 0,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// sign makes a key and a certificate of a template for it. It ends no later
// than its issuer.
func (i *Issued) sign(r Request, t *x509.Certificate, now time.Time) (*Issued, error) {
	bits := leafBits
	if t.IsCA {
		bits = authorityBits
	}
	key, err := r.Kind.make(bits)
	if err != nil {
		return nil, err
	}
	t.Subject = pkix.Name{CommonName: r.Name}
	t.NotBefore, t.NotAfter = now.Add(-backdate), r.Until
	t.BasicConstraintsValid = true
	if !t.IsCA {
		t.KeyUsage = x509.KeyUsageDigitalSignature | keyUsageOf(key)
	}
	parent, signer := t, key
	var above []*x509.Certificate
	if i != nil {
		parent, signer = i.Certificate(), i.Key
		t.NotAfter = earlier(t.NotAfter, parent.NotAfter)
		above = slices.DeleteFunc(slices.Clone(i.Chain), isRoot)
	}
	cert, err := issue(t, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	return &Issued{Chain: append([]*x509.Certificate{cert}, above...), Key: key}, nil
}

// isRoot reports whether a certificate was issued by itself.
func isRoot(cert *x509.Certificate) bool {
	return string(cert.RawIssuer) == string(cert.RawSubject) && cert.CheckSignatureFrom(cert) == nil
}

// LoadIssuer reads an authority: its certificate, with those above it if it is
// not a root, and its key.
func LoadIssuer(certFile, keyFile string, now time.Time) (*Issued, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load the authority %s with the key %s: %w", certFile, keyFile, err)
	}
	i := new(Issued)
	for _, der := range pair.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("load the authority %s: %w", certFile, err)
		}
		i.Chain = append(i.Chain, cert)
	}
	var ok bool
	if i.Key, ok = pair.PrivateKey.(crypto.Signer); !ok {
		return nil, fmt.Errorf("the key %s cannot sign", keyFile)
	}
	if !i.Certificate().IsCA {
		return nil, fmt.Errorf("%s is not the certificate of an authority", certFile)
	}
	if why := invalid(i.Certificate(), now); why != "" {
		return nil, fmt.Errorf("the authority %s %s", certFile, why)
	}
	return i, nil
}

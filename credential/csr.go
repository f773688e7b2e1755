package credential

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"

	"github.com/hubgate/hubgate/hub"
)

// The sizes of an RSA key: below, it can be broken; above, checking what it
// signs costs the hub more than it is worth.
const (
	minRSA = 2048
	maxRSA = 8192
)

// checkCSR reads a certificate signing request (PKCS #10) and checks that it is
// for id and that whoever made it holds a key that is good enough. Of its
// subject only the common name counts, and its extensions not at all: what is
// issued has none of them. The error is a *Refusal.
func checkCSR(der []byte, id hub.Identity) (*x509.CertificateRequest, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, refuse(UndecodableCSR, "the csr is no certificate signing request (PKCS #10) that can be read: %w", err)
	}
	if err := checkKey(csr.PublicKey); err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, refuse(BadSignature, "the csr is not signed with its own key, or in a way that is not good enough: %w", err)
	}
	return csr, checkName(csr, id)
}

// checkName wants one common name, byte for byte the identity's.
func checkName(csr *x509.CertificateRequest, id hub.Identity) error {
	names := 0
	for _, attribute := range csr.Subject.Names {
		if attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
			names++
		}
	}
	if names != 1 || csr.Subject.CommonName != id.String() {
		return refuse(SubjectMismatch, "the subject of the csr must have the common name (CN) %s, once", id)
	}
	return nil
}

func checkKey(public any) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return refuse(BadKey, "the RSA key of the csr has %d bits: use %d to %d", bits, minRSA, maxRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
		return refuse(BadKey, "the key of the csr is on the curve %s: use P-256 or P-384", key.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	default:
		return refuse(BadKey, "the csr has a key of a kind that is not issued for: use ECDSA (P-256, P-384), Ed25519 or RSA")
	}
}

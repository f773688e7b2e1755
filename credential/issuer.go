package credential

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// backdate helps devices whose clock is a little behind.
const backdate = time.Hour

// Issuer is the authority that signs the certificates of devices. It is safe
// for concurrent use.
type Issuer struct {
	chain    []*x509.Certificate // its own first
	key      crypto.Signer
	lifetime time.Duration
}

// NewIssuer reads an authority and its key, both PEM: its certificate, and
// behind it those of the authorities above, if devices are to have them. What
// it issues lives for lifetime, or as long as the authority does.
func NewIssuer(cert, key []byte, lifetime time.Duration) (*Issuer, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the issuing authority: %w", err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key of the issuing authority can't sign")
	}
	i := &Issuer{key: signer, lifetime: lifetime}
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("the issuing authority: %w", err)
		}
		i.chain = append(i.chain, c)
	}
	own := i.chain[0]
	if !own.BasicConstraintsValid || !own.IsCA || own.KeyUsage != 0 && own.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, fmt.Errorf("the certificate of the issuing authority is not that of a CA: it needs the basic constraints CA:TRUE and the key usage keyCertSign")
	}
	return i, nil
}

// Authority is the certificate of the issuer, which the hub must trust.
func (i *Issuer) Authority() *x509.Certificate { return i.chain[0] }

// check refuses to work with an authority that is not valid now.
func (i *Issuer) check(now time.Time) error {
	own := i.Authority()
	if now.Before(own.NotBefore) || !now.Before(own.NotAfter) {
		return hub.Errorf(hub.CredentialUnready, "the hub's issuing authority %q is valid from %s to %s only", own.Subject.CommonName, timeText(own.NotBefore), timeText(own.NotAfter))
	}
	return nil
}

// issue makes a certificate for the key of csr, which has been checked, and
// returns it with the authorities that a device shows with it: the issuer and
// those above, but none that has signed itself.
func (i *Issuer) issue(csr *x509.CertificateRequest, id hub.Identity, now time.Time) ([][]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, hub.Errorf(hub.ServerError, "make a serial number: %w", err)
	}
	own := i.Authority()
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: id.String()},
		NotBefore:    later(now.Add(-backdate), own.NotBefore), NotAfter: earlier(now.Add(i.lifetime), own.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, own, csr.PublicKey, i.key)
	if err != nil {
		return nil, hub.Errorf(hub.ServerError, "sign the certificate of %s: %w", id, err)
	}
	all := [][]byte{der}
	for _, above := range i.chain {
		if string(above.RawSubject) != string(above.RawIssuer) {
			all = append(all, above.Raw)
		}
	}
	return all, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

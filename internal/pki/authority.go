package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// leafLife stays below the 398 days that Apple's and Google's rules allow.
	leafLife = 396 * 24 * time.Hour
	// renewBefore is how much life a certificate must have left at start.
	renewBefore = 30 * 24 * time.Hour
	// backdate helps devices whose clock is a little behind.
	backdate = time.Hour
)

// authority is the development CA.
type authority struct{ pair }

func openAuthority(certFile, keyFile string, now time.Time) (*authority, error) {
	a := &authority{pair{certFile: certFile, keyFile: keyFile, newKey: newECDSA}}
	anew := fmt.Sprintf("put it back from a backup, or remove %s and %s to have a new authority made, which devices must then be given", certFile, keyFile)
	if err := a.load(); err != nil {
		return nil, fmt.Errorf("%w; %s", err, anew)
	}
	switch {
	case a.cert == nil:
		return a, a.make(now)
	case a.key == nil:
		return nil, fmt.Errorf("%s is missing, the key of %s; %s", keyFile, certFile, anew)
	case now.After(a.cert.NotAfter):
		return nil, fmt.Errorf("%s has expired on %s; %s", certFile, a.cert.NotAfter.Format(time.DateOnly), anew)
	}
	return a, nil
}

// make makes the authority's own certificate, and its key if there is none.
func (a *authority) make(now time.Time) error {
	if err := a.ensureKey(); err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Hubgate development CA", Organization: []string{"Hubgate"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	var err error
	if a.cert, err = issue(template, template, a.key.Public(), a.key); err != nil {
		return err
	}
	return a.saveCert()
}

// ensureLeaf loads a server certificate, or makes or renews it.
func (a *authority) ensureLeaf(p *pair, names []string, now time.Time) error {
	if err := p.load(); err != nil {
		return fmt.Errorf("%w; remove both %s and %s, and the next start makes them again", err, p.certFile, p.keyFile)
	}
	if p.key != nil && p.cert != nil && a.vouches(p.cert, names, now) {
		return nil
	}
	return a.signLeaf(p, names, now)
}

// vouches reports whether cert is this authority's, has exactly these names
// and lives long enough.
func (a *authority) vouches(cert *x509.Certificate, names []string, now time.Time) bool {
	return cert.CheckSignatureFrom(a.cert) == nil &&
		slices.Equal(NamesOf(cert), names) &&
		cert.NotAfter.After(now.Add(renewBefore)) && !cert.NotBefore.After(now)
}

// NamesOf returns the names and IP addresses of a certificate, sorted.
func NamesOf(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return names
}

// signLeaf makes a certificate for the key of p, which stays the same: a
// machine whose name changes with every start, such as a container, does not
// pay for a new RSA key each time.
func (a *authority) signLeaf(p *pair, names []string, now time.Time) error {
	if err := p.ensureKey(); err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Hubgate", Organization: []string{"Hubgate"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              earlier(now.Add(leafLife), a.cert.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | keyUsageOf(p.key),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	var err error
	if p.cert, err = issue(template, a.cert, p.key.Public(), a.key); err != nil {
		return err
	}
	return p.saveCert()
}

// keyUsageOf is what the key is used for besides signatures: TLS 1.2 clients
// without forward secrecy encrypt to an RSA key.
func keyUsageOf(key crypto.Signer) x509.KeyUsage {
	if _, ok := key.(*rsa.PrivateKey); ok {
		return x509.KeyUsageKeyEncipherment
	}
	return 0
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func issue(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func newECDSA() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make ECDSA key: %w", err)
	}
	return key, nil
}

func newRSA(bits int) (crypto.Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, fmt.Errorf("make RSA key: %w", err)
	}
	return key, nil
}

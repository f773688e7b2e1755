package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"time"
)

// explain makes of what package x509 found a sentence that says which
// certificate is wrong, why, and what to do.
func (s *snapshot) explain(chain []*x509.Certificate, now time.Time, err error) error {
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Cert != nil {
		return explainInvalid(bad, now)
	}
	for _, cert := range path(chain) {
		if isWeak(cert.SignatureAlgorithm) && !s.trusts(cert) {
			return refuse("the certificate %s is signed with %s, which can be forged: have it issued again with SHA-256", Describe(cert), cert.SignatureAlgorithm)
		}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return s.explainUnknown(chain)
	}
	if _, ok := errors.AsType[x509.UnhandledCriticalExtension](err); ok {
		return refuse("a certificate of the chain of %s has a critical extension that is not understood here", Describe(chain[0]))
	}
	return refuse("the certificate %s can't be verified: %w", Describe(chain[0]), err)
}

func explainInvalid(bad x509.CertificateInvalidError, now time.Time) error {
	name := Describe(bad.Cert)
	switch bad.Reason {
	case x509.Expired:
		return checkValidity(bad.Cert, now)
	case x509.NotAuthorizedToSign:
		return refuse("the certificate %s has issued another one and is not that of a CA", name)
	case x509.TooManyIntermediates:
		return refuse("too many intermediate certificates lie below the CA %s: its path length allows fewer", name)
	case x509.IncompatibleUsage:
		return refuse("a CA above the certificate %s may not issue certificates for clients (extended key usage)", name)
	case x509.CANotAuthorizedForThisName:
		return refuse("a CA above the certificate %s may not issue certificates for this name (name constraints): %s", name, bad.Detail)
	default:
		return refuse("the certificate %s can't be used: %w", name, bad)
	}
}

// checkValidity says that a certificate is not valid at a time, nil when it is.
func checkValidity(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return refuse("the certificate %s expired at %s, and it is %s now", Describe(cert), timeText(cert.NotAfter), timeText(now))
	case now.Before(cert.NotBefore):
		return refuse("the certificate %s is valid from %s only, and it is %s now", Describe(cert), timeText(cert.NotBefore), timeText(now))
	default:
		return nil
	}
}

// CheckValidity refuses, as Unauthorized, a certificate that is not valid now.
func CheckValidity(cert *x509.Certificate, now time.Time) error { return checkValidity(cert, now) }

// explainUnknown says where the way to an authority breaks off.
func (s *snapshot) explainUnknown(chain []*x509.Certificate) error {
	way := path(chain)
	if err := explainLinks(way); err != nil {
		return err
	}
	last := way[len(way)-1]
	for _, p := range s.pending {
		if p.cert.Equal(last) || bytes.Equal(p.cert.RawSubject, last.RawIssuer) {
			return refuse("the CA %s, registered as %s, is not verified yet: prove that you hold its key with hubgate authority verify", Describe(p.cert), quote(p.name))
		}
	}
	for _, i := range s.anchors {
		if bytes.Equal(i.cert.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(i.cert) != nil {
			return refuse("the certificate %s names the CA %s as its issuer and is not signed by it: another CA has the same name", Describe(last), Describe(i.cert))
		}
	}
	switch {
	case len(s.anchors) == 0:
		return refuse("the hub trusts no CA: register that of the certificate %s with hubgate authority add", Describe(last))
	case bytes.Equal(last.RawSubject, last.RawIssuer):
		return refuse("the certificate %s, at the end of the chain, is no CA that the hub trusts: register it with hubgate authority add", Describe(last))
	default:
		return refuse("the issuer %s of the certificate %s is no CA that the hub trusts, and did not come along: register it with hubgate authority add, or have the device send its intermediate certificates", quote(nameOf(last)), Describe(last))
	}
}

// explainLinks says which certificate of a way has not issued the one below it,
// nil when each has.
func explainLinks(way []*x509.Certificate) error {
	for i, cert := range way[1:] {
		switch {
		case !cert.IsCA:
			return refuse("the certificate %s has issued another one and is not that of a CA", Describe(cert))
		case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
			return refuse("the CA %s may not issue certificates: its key usage needs keyCertSign", Describe(cert))
		case way[i].CheckSignatureFrom(cert) != nil:
			return refuse("the certificate %s names %s, which came along, as its issuer and is not signed by it", Describe(way[i]), Describe(cert))
		}
	}
	return nil
}

// nameOf is the name of a certificate's issuer.
func nameOf(cert *x509.Certificate) string {
	if cert.Issuer.CommonName != "" {
		return cert.Issuer.CommonName
	}
	return cert.Issuer.String()
}

// path follows the issuers' names from the leaf on through what was sent.
func path(chain []*x509.Certificate) []*x509.Certificate {
	way := chain[:1:1]
	for range chain[1:] {
		last := way[len(way)-1]
		if bytes.Equal(last.RawSubject, last.RawIssuer) {
			break
		}
		next := issuerIn(chain[1:], last)
		if next == nil {
			break
		}
		way = append(way, next)
	}
	return way
}

func issuerIn(certs []*x509.Certificate, of *x509.Certificate) *x509.Certificate {
	for _, cert := range certs {
		if cert != of && bytes.Equal(cert.RawSubject, of.RawIssuer) {
			return cert
		}
	}
	return nil
}

func (s *snapshot) trusts(cert *x509.Certificate) bool { return s.anchors[digestOf(cert)] != nil }

// isWeak reports whether package x509 takes no signature of this kind.
func isWeak(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	default:
		return false
	}
}

package trust

import (
	"crypto/rsa"
	"crypto/x509"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// maxChain is how many certificates a client may send. Real chains have two to
// four; each one more costs signatures to check.
const maxChain = 10

// maxRSA is how many bits the RSA keys of a chain may have: a stranger could
// have signatures checked by keys of any size.
const maxRSA = 8192

// Grant is what let a client in by its chain, kept as small as can be for as
// long as its connection lives.
type Grant struct {
	// Expires is when the first certificate of the chain does.
	Expires time.Time

	links   []link // of the leaf, then of each intermediate
	anchor  *issuer
	version uint64
}

// link is one certificate as its issuer could revoke it.
type link struct {
	issuer *issuer
	serial string
}

// Verify checks the chain that a client has sent, its own certificate first:
// that it leads to an authority of the pool, that each certificate may do what
// it does there, is valid at that time and not revoked. It fails with
// Unauthorized and a sentence that says which certificate is wrong, and why.
// Whose certificate it is, is for the caller to check, as is that the client
// has its key.
func (p *Pool) Verify(chain []*x509.Certificate, now time.Time) (*Grant, error) {
	switch {
	case len(chain) == 0:
		return nil, refuse("no certificate came")
	case len(chain) > maxChain:
		return nil, refuse("%d certificates came, and a chain has %d at most", len(chain), maxChain)
	}
	if err := checkLeaf(chain[0]); err != nil {
		return nil, err
	}
	for _, cert := range chain {
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
			return nil, refuse("the certificate %s has an RSA key of %d bits, and %d is the most", Describe(cert), key.N.BitLen(), maxRSA)
		}
	}
	s := p.snapshot()
	sent := x509.NewCertPool()
	for _, cert := range chain[1:] {
		sent.AddCert(cert)
	}
	found, err := chain[0].Verify(x509.VerifyOptions{
		Roots: s.roots, Intermediates: sent, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, s.explain(chain, now, err)
	}
	return p.grant(s, found, now)
}

// grant chooses, of the ways that lead to an authority, the one that lasts
// longest and has no revoked certificate.
func (p *Pool) grant(s *snapshot, found [][]*x509.Certificate, now time.Time) (*Grant, error) {
	var best []*x509.Certificate
	var reason error
	for _, way := range found {
		if err := s.checkRevoked(way, now); err != nil {
			reason = err
			continue
		}
		if best == nil || endOf(way).After(endOf(best)) {
			best = way
		}
	}
	if best == nil {
		return nil, reason
	}
	g := &Grant{Expires: endOf(best), version: s.version}
	for i, cert := range best[:len(best)-1] {
		g.links = append(g.links, link{p.shared(best[i+1]), string(cert.SerialNumber.Bytes())})
	}
	g.anchor = p.shared(best[len(best)-1])
	return g, nil
}

// endOf is when the first certificate of a chain expires.
func endOf(way []*x509.Certificate) time.Time {
	end := way[0].NotAfter
	for _, cert := range way[1:] {
		if cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return end
}

// Recheck says why what was granted would be refused now, nil when it would
// not. It is cheap, so that it can be asked of every connection.
func (p *Pool) Recheck(g *Grant, now time.Time) error {
	s := p.snapshot()
	if s.version == g.version && !s.strict {
		return nil
	}
	if s.anchors[g.anchor.digest] == nil {
		return refuse("the CA %s, which vouches for the certificate, is no longer trusted", Describe(g.anchor.cert))
	}
	for i, l := range g.links {
		name := "the certificate"
		if i > 0 {
			name = "the CA " + Describe(g.links[i-1].issuer.cert)
		}
		if err := s.revoked(l.issuer, l.serial, name, now); err != nil {
			return err
		}
	}
	return nil
}

func (s *snapshot) checkRevoked(way []*x509.Certificate, now time.Time) error {
	if len(s.lists) == 0 {
		return nil
	}
	for i, cert := range way[:len(way)-1] {
		name := "the certificate " + Describe(cert)
		if i > 0 {
			name = "the CA " + Describe(cert)
		}
		if err := s.revoked(issuerOf(way[i+1]), string(cert.SerialNumber.Bytes()), name, now); err != nil {
			return err
		}
	}
	return nil
}

// revoked looks a certificate up in its issuer's lists.
func (s *snapshot) revoked(by *issuer, serial, name string, now time.Time) error {
	current, stale := false, (*List)(nil)
	for _, l := range s.lists[string(by.cert.RawSubject)] {
		if !l.signedBy(by) {
			continue
		}
		if since, is := l.revoked[serial]; is {
			return refuse("%s was revoked by its issuer %s at %s", name, Describe(by.cert), timeText(since))
		}
		if l.expired(now) {
			stale = l
		} else {
			current = true
		}
	}
	if s.strict && stale != nil && !current {
		return refuse("whether %s is revoked can't be said: the revocation list of its issuer %s has expired at %s", name, Describe(by.cert), timeText(stale.crl.NextUpdate))
	}
	return nil
}

// checkLeaf says what a device's certificate may not be. x509 checks the rest.
func checkLeaf(leaf *x509.Certificate) error {
	const signs = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement
	switch {
	case leaf.IsCA:
		return refuse("the certificate %s is that of a CA (basic constraints CA:TRUE): a device needs one of its own", Describe(leaf))
	case leaf.KeyUsage != 0 && leaf.KeyUsage&signs == 0:
		return refuse("the certificate %s may not sign (key usage): it needs digitalSignature", Describe(leaf))
	case !mayAuthenticate(leaf):
		return refuse("the certificate %s is not for clients: its extended key usage needs clientAuth", Describe(leaf))
	}
	return nil
}

// mayAuthenticate reports whether the extended key usage of a certificate, if
// it has any, lets it be a client's.
func mayAuthenticate(cert *x509.Certificate) bool {
	for _, use := range cert.ExtKeyUsage {
		if use == x509.ExtKeyUsageClientAuth || use == x509.ExtKeyUsageAny {
			return true
		}
	}
	return len(cert.ExtKeyUsage) == 0 && len(cert.UnknownExtKeyUsage) == 0
}

func refuse(format string, args ...any) error { return hub.Errorf(hub.Unauthorized, format, args...) }

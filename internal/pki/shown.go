package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"net/netip"
	"strings"
	"sync/atomic"
)

// Shown is the certificates that listeners show, for one name or for several.
// They may be replaced at any time: a handshake that has begun keeps those it
// began with, and no connection notices. It is safe for concurrent use.
type Shown struct {
	current atomic.Pointer[[]tls.Certificate]
}

// Show returns the certificates as those that are shown. There is at least
// one, and each has its Leaf.
func Show(certs []tls.Certificate) *Shown {
	s := new(Shown)
	s.Replace(certs)
	return s
}

// Replace shows other certificates from now on.
func (s *Shown) Replace(certs []tls.Certificate) { s.current.Store(&certs) }

// Certificates returns what is shown now; it must not be changed.
func (s *Shown) Certificates() []tls.Certificate { return *s.current.Load() }

// Config returns the TLS settings of a listener: versions 1.2 and 1.3, because
// the Python SDK speaks 1.2 only. A client certificate is asked for and not
// needed: what came is judged when the client has said who it is, where a
// refusal can be answered. The settings stay the same when certificates are
// replaced, and with them the keys of session tickets.
func (s *Shown) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequestClientCert,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return choose(s.Certificates(), hello), nil
		},
	}
}

// choose returns the certificate for a client: of those for the name that it
// asks for, the ECDSA one if it understands that, else another that it
// understands, else the first. A client that asks for no name, or for one that
// no certificate has, gets one of those for the name of the first.
func choose(certs []tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	named := forName(certs, hello.ServerName)
	understands := *hello
	understands.ServerName = "" // a name that is in none must not rule out all
	var second *tls.Certificate
	for i := range named {
		if understands.SupportsCertificate(named[i]) != nil {
			continue
		}
		if isECDSA(named[i]) {
			return named[i]
		}
		if second == nil {
			second = named[i]
		}
	}
	if second != nil {
		return second
	}
	return named[0] // the handshake fails, and says why
}

// forName returns the certificates for a name: those that have it, else those
// with a wildcard for it, else those for the name of the first one.
func forName(certs []tls.Certificate, name string) []*tls.Certificate {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if found := having(certs, name); len(found) > 0 {
		return found
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		if found := having(certs, "*."+parent); len(found) > 0 {
			return found
		}
	}
	first := NamesOf(certs[0].Leaf)
	if len(first) == 0 {
		return []*tls.Certificate{&certs[0]}
	}
	return having(certs, strings.ToLower(first[0]))
}

// having returns the certificates with a name, which is in lower case.
func having(certs []tls.Certificate, name string) []*tls.Certificate {
	var found []*tls.Certificate
	for i := range certs {
		if hasName(&certs[i], name) {
			found = append(found, &certs[i])
		}
	}
	return found
}

func hasName(cert *tls.Certificate, name string) bool {
	for _, have := range cert.Leaf.DNSNames {
		if strings.EqualFold(have, name) {
			return true
		}
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	for _, ip := range cert.Leaf.IPAddresses {
		if have, ok := netip.AddrFromSlice(ip); ok && have.Unmap() == addr.Unmap() {
			return true
		}
	}
	return false
}

func isECDSA(cert *tls.Certificate) bool {
	_, ok := cert.Leaf.PublicKey.(*ecdsa.PublicKey)
	return ok
}

package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// asHubError finds the error that may be told.
func asHubError(err error) (*hub.Error, bool) { return errors.AsType[*hub.Error](err) }

// minToken is the shortest token: shorter ones can be guessed.
const minToken = 16

// Access says who may ask. The zero value lets anybody ask who reaches the
// listener.
type Access struct {
	token [sha256.Size]byte // of the digest of the token; zero: there is none
	cert  *tls.Certificate  // nil: no TLS
	roots *x509.CertPool    // nil: certificates let nobody in
}

// AccessFiles names what an Access is read from; empty is what there is not.
type AccessFiles struct {
	Token, Cert, Key string
	ClientCAs        []string
}

// ReadAccess reads the files. Its errors say which one is wrong, and never what
// stands in it.
func ReadAccess(f AccessFiles) (*Access, error) {
	a := new(Access)
	if f.Token != "" {
		text, err := os.ReadFile(f.Token)
		if err != nil {
			return nil, fmt.Errorf("read the administrative token: %w", err)
		}
		token := strings.TrimSpace(string(text))
		if len(token) < minToken || strings.ContainsAny(token, " \t\r\n") {
			return nil, fmt.Errorf("the administrative token in %s is not one word of %d characters at least; make one with 'openssl rand -hex 32'", f.Token, minToken)
		}
		a.token = sha256.Sum256([]byte(token))
	}
	if f.Cert != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("read the administrative certificate %s with the key %s: %w", f.Cert, f.Key, err)
		}
		a.cert = &pair
	}
	for _, file := range f.ClientCAs {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the authority of administrators: %w", err)
		}
		if a.roots == nil {
			a.roots = x509.NewCertPool()
		}
		if !a.roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("the authority of administrators %s has no certificate in PEM form", file)
		}
	}
	return a, nil
}

// needed reports whether there is anything that a request has to show.
func (a *Access) needed() bool { return a.token != [sha256.Size]byte{} || a.roots != nil }

// tls is the configuration for one handshake.
func (a *Access) tls() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*a.cert}, NextProtos: []string{"http/1.1"}}
	if a.roots != nil {
		c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, a.roots
	}
	return c
}

// verdict is what a request may have.
type verdict int

const (
	stranger verdict = iota // it has shown nothing, and would have to
	known
	wrong // what it has shown is not right
)

// judge looks at what a request shows.
func (a *Access) judge(r *http.Request) verdict {
	if !a.needed() {
		return known
	}
	if a.vouches(r.TLS) {
		return known
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return stranger
	}
	kind, token, _ := strings.Cut(header, " ")
	digest := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if !strings.EqualFold(kind, "Bearer") || a.token == [sha256.Size]byte{} || subtle.ConstantTimeCompare(digest[:], a.token[:]) != 1 {
		return wrong
	}
	return known
}

// vouches reports whether an authority that there is now vouches for the client. The
// handshake may have been long ago.
func (a *Access) vouches(s *tls.ConnectionState) bool {
	if a.roots == nil || s == nil || len(s.PeerCertificates) == 0 {
		return false
	}
	above := x509.NewCertPool()
	for _, cert := range s.PeerCertificates[1:] {
		above.AddCert(cert)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: a.roots, Intermediates: above, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

// isLocal reports whether a request names the machine itself, or an address. A
// page in a browser can have a name of its own lead to 127.0.0.1, and read what
// a listener that asks for nothing answers.
func isLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	_, err := netip.ParseAddr(host)
	return err == nil || host == "" || strings.EqualFold(host, "localhost")
}

package trust

import (
	"crypto/x509"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Pool is what a node trusts now. Each change makes a new snapshot from
// nothing, so that what was taken away is gone. The zero value trusts nobody,
// as does a nil Pool. It is safe for concurrent use.
type Pool struct {
	mu         sync.Mutex // of what the snapshot is made of
	registered []Authority
	files      Files
	issuers    map[digest]*issuer

	current atomic.Pointer[snapshot]
}

// Files is what a node trusts because its configuration says so.
type Files struct {
	Authorities []File
	Lists       []*List
	// StrictLists refuses the certificates of an issuer all of whose lists have
	// expired. Without it an expired list goes on to revoke what it revokes.
	StrictLists bool
}

// File is the authorities of one file.
type File struct {
	Origin       string // for messages: the path
	Certificates []*x509.Certificate
}

// ParseFile reads the authorities of a file. It fails with ArgumentInvalid, as
// [ParseCertificates] does and for a certificate that can't be an authority.
func ParseFile(origin string, text []byte) (File, error) {
	certs, err := ParseCertificates(text)
	if err != nil {
		return File{}, err
	}
	for _, cert := range certs {
		if err := checkAuthority(cert); err != nil {
			return File{}, err
		}
	}
	return File{Origin: origin, Certificates: certs}, nil
}

// snapshot is never changed.
type snapshot struct {
	roots   *x509.CertPool
	anchors map[digest]*issuer
	pending []pending          // registered, and not to be trusted
	lists   map[string][]*List // by the issuer's raw name
	strict  bool
	version uint64
}

// pending is an authority that nobody has proved to hold the key of.
type pending struct {
	name string
	cert *x509.Certificate
}

// SetRegistered replaces the authorities of the registry. Those that are not
// verified, and those that can't be read, vouch for nobody.
func (p *Pool) SetRegistered(all []Authority) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registered = all
	p.rebuild()
}

// SetFiles replaces the authorities and lists of files.
func (p *Pool) SetFiles(f Files) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files = f
	p.rebuild()
}

// rebuild makes the snapshot. p.mu is held.
func (p *Pool) rebuild() {
	s := newSnapshot()
	s.strict, s.version = p.files.StrictLists, p.snapshot().version+1
	for _, f := range p.files.Authorities {
		for _, cert := range f.Certificates {
			s.add(cert)
		}
	}
	for _, a := range p.registered {
		cert, err := x509.ParseCertificate(a.Certificate)
		switch {
		case err != nil || checkAuthority(cert) != nil: // the registry takes none such
		case a.Verified:
			s.add(cert)
		default:
			s.pending = append(s.pending, pending{a.Name, cert})
		}
	}
	for _, l := range p.files.Lists {
		s.lists[string(l.crl.RawIssuer)] = append(s.lists[string(l.crl.RawIssuer)], l)
	}
	p.current.Store(s)
}

func newSnapshot() *snapshot {
	// A nil pool of roots would be the machine's own.
	return &snapshot{roots: x509.NewCertPool(), anchors: map[digest]*issuer{}, lists: map[string][]*List{}}
}

func (s *snapshot) add(cert *x509.Certificate) {
	i := issuerOf(cert)
	if s.anchors[i.digest] == nil {
		s.anchors[i.digest] = i
		s.roots.AddCert(cert)
	}
}

func (p *Pool) snapshot() *snapshot {
	if p != nil {
		if s := p.current.Load(); s != nil {
			return s
		}
	}
	return newSnapshot()
}

// maxIssuers bounds the issuers that connections share. There are more only in
// a fleet with an intermediate for every few devices.
const maxIssuers = 4096

// shared returns the issuer that all connections below cert hold together.
func (p *Pool) shared(cert *x509.Certificate) *issuer {
	i := issuerOf(cert)
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.issuers[i.digest]; known != nil {
		return known
	}
	if p.issuers == nil || len(p.issuers) >= maxIssuers {
		p.issuers = map[digest]*issuer{}
	}
	p.issuers[i.digest] = i
	return i
}

// soon is how long before its end an authority is worth a warning.
const soon = 30 * 24 * time.Hour

// Warnings are sentences about what an operator should mend: lists and
// authorities that have expired or soon will, and lists that revoke nothing.
func (p *Pool) Warnings(now time.Time) []string {
	s := p.snapshot()
	var all []string
	for _, i := range s.anchors {
		if end := i.cert.NotAfter; now.After(end) {
			all = append(all, fmt.Sprintf("the CA %s has expired at %s: no device gets in by it", Describe(i.cert), timeText(end)))
		} else if now.Add(soon).After(end) {
			all = append(all, fmt.Sprintf("the CA %s expires at %s: then no device gets in by it", Describe(i.cert), timeText(end)))
		}
	}
	for _, lists := range s.lists {
		for _, l := range lists {
			all = append(all, s.warnings(l, now)...)
		}
	}
	return all
}

func (s *snapshot) warnings(l *List, now time.Time) []string {
	var all []string
	if l.expired(now) {
		then := "what has been revoked since is let in"
		if s.strict {
			then = "all certificates of its issuer are refused"
		}
		all = append(all, fmt.Sprintf("the revocation list %s has expired at %s: %s; give a newer one", l.Origin, timeText(l.crl.NextUpdate), then))
	}
	named, signed := false, false
	for _, i := range s.anchors {
		if string(i.cert.RawSubject) == string(l.crl.RawIssuer) {
			named, signed = true, signed || l.signedBy(i)
		}
	}
	if named && !signed {
		all = append(all, fmt.Sprintf("the revocation list %s is not signed by the CA that it names, %s: it revokes nothing", l.Origin, quote(l.crl.Issuer.String())))
	}
	return all
}

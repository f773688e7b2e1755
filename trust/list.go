package trust

import (
	"crypto/x509"
	"encoding/asn1"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// List is a certificate revocation list (RFC 5280). It is safe for concurrent
// use.
type List struct {
	Origin string // for messages: the file that it came from

	crl     *x509.RevocationList
	revoked map[string]time.Time // by serial number

	mu     sync.Mutex
	signed map[digest]bool // whether that certificate's key has signed it
}

// maxSigners bounds what a list remembers of who has not signed it: CAs share
// a name with a list's issuer seldom, and not by the hundred.
const maxSigners = 128

// ParseLists reads revocation lists of PEM, or one of DER. Their signatures are
// checked when they are used, against the certificates of who issued them. It
// fails with ArgumentInvalid, also for lists that hold what would be
// understood wrongly: changes to another list, or other issuers' certificates.
func ParseLists(origin string, text []byte) ([]*List, error) {
	var all []*List
	for _, der := range blocks(text, listBlock) {
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, hub.Errorf(hub.ArgumentInvalid, "list %d is damaged, or is no revocation list: %w", len(all)+1, err)
		}
		l, err := newList(origin, crl)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		return nil, hub.Errorf(hub.ArgumentInvalid, "there is no revocation list: it must be PEM with X509 CRL blocks, or DER")
	}
	return all, nil
}

func newList(origin string, crl *x509.RevocationList) (*List, error) {
	deltaIndicator, certificateIssuer := asn1.ObjectIdentifier{2, 5, 29, 27}, asn1.ObjectIdentifier{2, 5, 29, 29}
	for _, e := range crl.Extensions {
		if e.Id.Equal(deltaIndicator) {
			return nil, hub.Errorf(hub.ArgumentInvalid, "this is a delta list, which only has the changes since another one; give the whole list")
		}
	}
	l := &List{Origin: origin, crl: crl, revoked: make(map[string]time.Time, len(crl.RevokedCertificateEntries)), signed: map[digest]bool{}}
	for _, entry := range crl.RevokedCertificateEntries {
		for _, e := range entry.Extensions {
			if e.Id.Equal(certificateIssuer) {
				return nil, hub.Errorf(hub.ArgumentInvalid, "this is an indirect list, which has certificates of several issuers; give each issuer's own list")
			}
		}
		l.revoked[string(entry.SerialNumber.Bytes())] = entry.RevocationTime
	}
	return l, nil
}

// expired reports whether the list ought to have been replaced by now.
func (l *List) expired(now time.Time) bool {
	return !l.crl.NextUpdate.IsZero() && now.After(l.crl.NextUpdate)
}

// signedBy reports whether the list is that of a certificate: a list that
// somebody else has made revokes nothing.
func (l *List) signedBy(i *issuer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	signed, known := l.signed[i.digest]
	if !known {
		signed = l.crl.CheckSignatureFrom(i.cert) == nil
		if len(l.signed) >= maxSigners {
			clear(l.signed)
		}
		l.signed[i.digest] = signed
	}
	return signed
}

// issuer is a certificate that has issued others.
type issuer struct {
	cert   *x509.Certificate
	digest digest
}

func issuerOf(cert *x509.Certificate) *issuer { return &issuer{cert, digestOf(cert)} }

package iothub

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/telemetry"
	"github.com/hubgate/hubgate/trust"
)

// certificate is what a connection keeps of the certificate that let it in.
type certificate struct {
	thumbprint thumbprint
	grant      *trust.Grant // nil: the thumbprint alone let it in
	expires    time.Time
}

// thumbprint is the two digests by which IoT Hub knows a certificate.
type thumbprint struct {
	sha1   [sha1.Size]byte
	sha256 [sha256.Size]byte
}

func thumbprintOf(cert *x509.Certificate) thumbprint {
	return thumbprint{sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw)}
}

// is reports whether text is either digest in hexadecimal, in any case.
func (t *thumbprint) is(text string) bool {
	digest, err := hex.DecodeString(text)
	if err != nil {
		return false
	}
	return subtle.ConstantTimeCompare(digest, t.sha1[:])|subtle.ConstantTimeCompare(digest, t.sha256[:]) == 1
}

// isOneOf reports whether the certificate is one that the identity may show.
func (t *thumbprint) isOneOf(of identity.Thumbprints) bool {
	return t.is(of.PrimaryThumbprint) || t.is(of.SecondaryThumbprint)
}

// byCertificate checks the certificate that came in TLS, notes in h what let
// the client in, and says until when it is good. A token that came too counts
// for nothing.
func (f *Face) byCertificate(h *handler, record identity.Record, password []byte, chain []*x509.Certificate) (time.Time, error) {
	if len(chain) == 0 {
		also := "none came"
		if len(password) > 0 {
			also = "a SAS token came instead"
		}
		return time.Time{}, hub.Errorf(hub.Unauthorized, "%s authenticates by certificate (%s), and %s: give its client the certificate with its key, or register it for SAS tokens", h.id, record.Authentication.Type, also)
	}
	shown := &certificate{thumbprint: thumbprintOf(chain[0])}
	var err error
	switch record.Authentication.Type {
	case identity.AuthSelfSigned:
		shown.expires, err = f.byThumbprint(shown, record, chain[0])
	case identity.AuthCA:
		shown.grant, err = f.byAuthority(h.id, chain)
	case identity.AuthNone:
		err = hub.Errorf(hub.Unauthorized, "%s has nothing to authenticate by", h.id)
	case identity.AuthSAS:
		fallthrough
	default:
		err = hub.Errorf(hub.ServerError, "the record of %s has the authentication type %q", h.id, record.Authentication.Type)
	}
	if err != nil {
		return time.Time{}, err
	}
	if shown.grant != nil {
		shown.expires = shown.grant.Expires
	}
	h.shown = shown
	h.authMethod = telemetry.AuthMethodDeviceX509
	if h.id.IsModule() {
		h.authMethod = telemetry.AuthMethodModuleX509
	}
	return shown.expires, nil
}

// byThumbprint checks a certificate for which nobody but its thumbprint vouches.
func (f *Face) byThumbprint(shown *certificate, record identity.Record, cert *x509.Certificate) (time.Time, error) {
	registered := record.Authentication.X509Thumbprint
	if registered == (identity.Thumbprints{}) {
		return time.Time{}, hub.Errorf(hub.Unauthorized, "no thumbprint is registered for %s: register that of its certificate", record.ID)
	}
	if !shown.thumbprint.isOneOf(registered) {
		return time.Time{}, hub.Errorf(hub.Unauthorized, "the certificate %s has the thumbprint %X, which is neither of those registered for %s", trust.Describe(cert), shown.thumbprint.sha1, record.ID)
	}
	return cert.NotAfter, trust.CheckValidity(cert, f.now())
}

// byAuthority checks a certificate of one of the hub's authorities, which must
// have issued it for the identity and for no other.
func (f *Face) byAuthority(id hub.Identity, chain []*x509.Certificate) (*trust.Grant, error) {
	if name, ok := trust.CommonName(chain[0]); !ok || name != id.String() {
		return nil, hub.Errorf(hub.Unauthorized, "the certificate is for %s (its common name), and the client calls itself %s: the two must be the same, case included", trust.Describe(chain[0]), id)
	}
	return f.Trust.Verify(chain, f.now())
}

// Expired implements [gateway.Expiring].
func (h *handler) Expired() error {
	if h.shown != nil {
		return hub.Errorf(hub.Unauthorized, "the certificate of the client, or that of a CA above it, expired during the connection")
	}
	return hub.Errorf(hub.Unauthorized, "the SAS token expired during the connection")
}

// recheckCertificate cuts a connection whose certificate its identity may no
// longer show.
func (h *handler) recheckCertificate(r *identity.Record) error {
	switch {
	case r.Authentication.Type == identity.AuthSelfSigned && h.shown.grant == nil:
		if !h.shown.thumbprint.isOneOf(r.Authentication.X509Thumbprint) {
			return hub.Errorf(hub.Unauthorized, "the thumbprint of the certificate that %s connected with was replaced", r.ID)
		}
		return nil
	case r.Authentication.Type == identity.AuthCA && h.shown.grant != nil:
		return nil
	default:
		return hub.Errorf(hub.Unauthorized, "%s no longer authenticates by the kind of certificate that it connected with, but by %s", r.ID, r.Authentication.Type)
	}
}

// TrustChanged cuts the connections that a change of the hub's authorities and
// revocation lists no longer lets in. s must be the server of this face.
func (f *Face) TrustChanged(s *gateway.Server) {
	now := f.now()
	s.CheckAll(func(_ hub.Identity, h gateway.Handler) error {
		own, ok := h.(*handler)
		if !ok || own.face != f || own.shown == nil || own.shown.grant == nil {
			return nil
		}
		return f.Trust.Recheck(own.shown.grant, now)
	})
}

// recheckChain ends a connection when what was trusted has changed since it was
// admitted and before [Face.TrustChanged] could see it.
func (h *handler) recheckChain(l gateway.Link) {
	if h.shown == nil || h.shown.grant == nil {
		return
	}
	if err := h.face.Trust.Recheck(h.shown.grant, h.face.now()); err != nil {
		l.Stop(err)
	}
}

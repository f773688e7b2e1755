package trust

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// MaxAuthorities is how many a hub can register. IoT Hub has 25; a node checks
// a certificate against as many as there are, so there is a bound.
const MaxAuthorities = 1000

// maxCertificate is how many bytes the certificate of an authority may have.
const maxCertificate = 16 << 10

// Store keeps authorities and knows no rules. All errors are *hub.Error: those
// of [NotFound], PreconditionFailed when the revision is no longer current or
// the name is taken, and ServiceUnavailable when the store does not answer.
type Store interface {
	// Get returns an authority, its Revision set.
	Get(ctx context.Context, name string) (Authority, error)
	// List returns all of them by ascending name.
	List(ctx context.Context) ([]Authority, error)
	// Write stores an authority in place of a.Revision, 0 being none, and
	// returns the new revision.
	Write(ctx context.Context, a Authority) (revision uint64, err error)
	// Delete removes the authority of a.Revision.
	Delete(ctx context.Context, a Authority) error
}

// Registry is the rules by which authorities come, change and go. Set its
// fields before use. Methods may be called from any goroutine; their errors are
// *hub.Error. An ifMatch is * or an etag that must still be current, with or
// without quotes; else the method fails with PreconditionFailed.
type Registry struct {
	Store Store
	Now   func() time.Time // nil: time.Now
}

// NotFound is the error for an authority that is not there.
func NotFound(name string) error {
	return hub.Errorf(hub.CertificateNotFound, "there is no certificate authority %s", quote(name))
}

// Get returns an authority.
func (r *Registry) Get(ctx context.Context, name string) (Authority, error) {
	if err := checkName(name); err != nil {
		return Authority{}, err
	}
	return r.Store.Get(ctx, name)
}

// List returns all authorities by name.
func (r *Registry) List(ctx context.Context) ([]Authority, error) { return r.Store.List(ctx) }

// Put registers an authority, or replaces its certificate when ifMatch is not
// empty. Of a it takes the name, the certificate and whether it is verified:
// that is for operators who know whose it is. A certificate that is replaced
// by itself stays verified.
func (r *Registry) Put(ctx context.Context, a Authority, ifMatch string) (Authority, error) {
	if err := checkName(a.Name); err != nil {
		return Authority{}, err
	}
	if err := r.checkCertificate(a); err != nil {
		return Authority{}, err
	}
	if strings.Trim(ifMatch, `"`) == "" {
		return r.create(ctx, a)
	}
	return r.change(ctx, a.Name, ifMatch, func(old *Authority) error {
		same := string(old.Certificate) == string(a.Certificate)
		old.Verified = a.Verified || same && old.Verified
		old.Certificate, old.VerificationCode = a.Certificate, ""
		return nil
	})
}

func (r *Registry) create(ctx context.Context, a Authority) (Authority, error) {
	all, err := r.Store.List(ctx)
	if err != nil {
		return Authority{}, err
	}
	for _, other := range all {
		if other.Name == a.Name {
			return Authority{}, hub.Errorf(hub.PreconditionFailed, "the certificate authority %s exists already: give its etag, or *, to replace it", quote(a.Name))
		}
	}
	if len(all) >= MaxAuthorities {
		return Authority{}, hub.Errorf(hub.QuotaExceeded, "there are %d certificate authorities, which is the most; remove one", len(all))
	}
	now := r.now()
	a = Authority{Name: a.Name, Certificate: a.Certificate, Verified: a.Verified, Created: now, Updated: now}
	a.Revision, err = r.Store.Write(ctx, a)
	return a, err
}

func (r *Registry) checkCertificate(a Authority) error {
	if len(a.Certificate) == 0 {
		return hub.Errorf(hub.ArgumentInvalid, "the certificate of the authority is missing: give it as properties.certificate")
	}
	if len(a.Certificate) > maxCertificate {
		return hub.Errorf(hub.ArgumentInvalid, "the certificate has %d bytes, and %d is the most", len(a.Certificate), maxCertificate)
	}
	cert, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "the certificate is damaged: %w", err)
	}
	if err := checkAuthority(cert); err != nil {
		return err
	}
	if now := r.now(); now.After(cert.NotAfter) {
		return hub.Errorf(hub.ArgumentInvalid, "the certificate %s has expired at %s", Describe(cert), timeText(cert.NotAfter))
	}
	return nil
}

// checkAuthority refuses a certificate that can't vouch for others.
func checkAuthority(cert *x509.Certificate) error {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return hub.Errorf(hub.ArgumentInvalid, "the certificate %s is not that of a CA: it needs the basic constraints CA:TRUE", Describe(cert))
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return hub.Errorf(hub.ArgumentInvalid, "the certificate %s may not sign others: its key usage needs keyCertSign", Describe(cert))
	default:
		return nil
	}
}

// Code makes a new verification code for an authority: a certificate for that
// common name, issued by the authority, proves that its key is at hand.
func (r *Registry) Code(ctx context.Context, name, ifMatch string) (Authority, error) {
	return r.change(ctx, name, ifMatch, func(a *Authority) error {
		a.VerificationCode = newCode()
		return nil
	})
}

// Verify takes the proof, PEM or DER, and lets the authority vouch for devices.
// It fails with ArgumentInvalid when the proof is none.
func (r *Registry) Verify(ctx context.Context, name string, proof []byte, ifMatch string) (Authority, error) {
	cert, err := ParseCertificate(proof)
	if err != nil {
		return Authority{}, err
	}
	return r.change(ctx, name, ifMatch, func(a *Authority) error {
		if err := r.proves(*a, cert); err != nil {
			return err
		}
		a.Verified, a.VerificationCode = true, ""
		return nil
	})
}

func (r *Registry) proves(a Authority, cert *x509.Certificate) error {
	parent, err := a.Parse()
	if err != nil {
		return err
	}
	if a.VerificationCode == "" {
		return hub.Errorf(hub.ArgumentInvalid, "the authority %s has no verification code: ask for one first", quote(a.Name))
	}
	if name, ok := CommonName(cert); !ok || !strings.EqualFold(name, a.VerificationCode) {
		return hub.Errorf(hub.ArgumentInvalid, "the certificate is for %s, and must be for the verification code %s", Describe(cert), a.VerificationCode)
	}
	if err := cert.CheckSignatureFrom(parent); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "the certificate is not signed by %s: %w", Describe(parent), err)
	}
	if err := checkValidity(cert, r.now()); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "%w", err)
	}
	return nil
}

// newCode is a code that nobody can guess and a common name can hold.
func newCode() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

// Delete removes an authority. Devices that it alone vouches for are cut.
func (r *Registry) Delete(ctx context.Context, name, ifMatch string) error {
	_, err := r.try(ctx, name, ifMatch, func(a Authority) (Authority, error) { return a, r.Store.Delete(ctx, a) })
	return err
}

// change applies edit to an authority and stores it.
func (r *Registry) change(ctx context.Context, name, ifMatch string, edit func(*Authority) error) (Authority, error) {
	return r.try(ctx, name, ifMatch, func(a Authority) (Authority, error) {
		if err := edit(&a); err != nil {
			return Authority{}, err
		}
		a.Updated = r.now()
		var err error
		a.Revision, err = r.Store.Write(ctx, a)
		return a, err
	})
}

// tries bounds how often a change is tried when others make some meanwhile.
const tries = 10

func (r *Registry) try(ctx context.Context, name, ifMatch string, act func(Authority) (Authority, error)) (Authority, error) {
	for try := 1; ; try++ {
		a, err := r.Get(ctx, name)
		if err != nil {
			return Authority{}, err
		}
		if etag := strings.Trim(ifMatch, `"`); etag != "*" && etag != "" && etag != a.ETag() {
			return Authority{}, hub.Errorf(hub.PreconditionFailed, "the certificate authority %s was changed meanwhile: its etag is %s", quote(name), a.ETag())
		}
		a, err = act(a)
		if !errors.Is(err, &hub.Error{Code: hub.PreconditionFailed}) || try == tries {
			return a, err
		}
	}
}

func (r *Registry) now() time.Time {
	if r.Now != nil {
		return r.Now().UTC()
	}
	return time.Now().UTC()
}

// checkName refuses what is no name of an authority: IoT Hub's are 1 to 64
// letters, digits and -._.
func checkName(name string) error {
	bad := strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
	})
	if name == "" || len(name) > 64 || bad >= 0 {
		return hub.Errorf(hub.ArgumentInvalid, "%s is not the name of a certificate authority: use 1 to 64 characters of A-Z a-z 0-9 - . _", quote(name))
	}
	return nil
}

package credential

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Lifetime is how long an accepted request waits for its device, and how long
// the same request is answered in the same way. IoT Hub begins with 12 hours.
const Lifetime = 12 * time.Hour

// Operation is a request that was accepted, and what became of it. There is one
// per identity, the newest. Its JSON is the value in the bucket of operations.
type Operation struct {
	ID         hub.Identity `json:"-"`
	Generation string       `json:"generation"` // of the identity
	// RID is the request id, by which the device knows the operation, and
	// CorrelationID the hub's own name of it.
	RID           string `json:"requestId"`
	CorrelationID string `json:"correlationId"`
	Digest        []byte `json:"digest"`        // SHA-256 of the CSR
	CSR           []byte `json:"csr,omitempty"` // DER; gone when the certificate is there

	Accepted time.Time `json:"accepted"`
	Expires  time.Time `json:"expires"`
	// Certificates is what was issued, the device's own first, in DER; none yet
	// when it is empty.
	Certificates [][]byte `json:"certificates,omitempty"`
	// Over says that the device has its answer.
	Over bool `json:"over,omitempty"`
	// Recent is when this one and those before it were accepted, as far as it
	// counts.
	Recent []time.Time `json:"recent,omitempty"`

	// Revision is the store's number of the last write; 0: there is none.
	Revision uint64 `json:"-"`
}

// Store keeps operations. Errors are *hub.Error. [Desk] is tested with one that
// fails and blocks.
type Store interface {
	// Get returns the operation of id, or a zero one with the revision that the
	// next write needs.
	Get(ctx context.Context, id hub.Identity) (Operation, error)
	// Put stores op in place of the revision that it has, and returns the new
	// one. It fails with PreconditionFailed when that is no longer current.
	Put(ctx context.Context, op Operation) (revision uint64, err error)
}

// active reports whether the device still waits for its answer.
func (o *Operation) active(now time.Time) bool {
	return o.RID != "" && !o.Over && now.Before(o.Expires)
}

// isAnswerTo reports whether the same question comes again.
func (o *Operation) isAnswerTo(r request, now time.Time) bool {
	return o.RID == r.rid && bytes.Equal(o.Digest, r.digest[:]) && now.Before(o.Expires) &&
		(!o.Over || len(o.Certificates) > 0)
}

// Certificate is the certificate of the device. It fails with ServerError when
// there is none, or one that is damaged.
func (o *Operation) Certificate() (*x509.Certificate, error) {
	if len(o.Certificates) == 0 {
		return nil, hub.Errorf(hub.ServerError, "nothing is issued for %s yet", o.ID)
	}
	cert, err := x509.ParseCertificate(o.Certificates[0])
	if err != nil {
		return nil, hub.Errorf(hub.ServerError, "the certificate that was issued for %s is damaged: %w", o.ID, err)
	}
	return cert, nil
}

// Thumbprint is the SHA-256 digest of a certificate as IoT Hub prints it.
func Thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

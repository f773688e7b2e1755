package backend

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/credential"
	"github.com/hubgate/hubgate/hub"
)

// maxCredentialBytes has room for some ten thousand renewals of the same day.
const maxCredentialBytes = 256 << 20

// CredentialStore keeps the renewals of certificates in the bucket
// hub_credentials: one key per identity, its value the JSON of
// [credential.Operation], for as long as an operation lives. It is safe for
// concurrent use.
type CredentialStore struct{ bucket *bucket }

var _ credential.Store = (*CredentialStore)(nil)

// credentialBucket forgets by itself what has come to its time.
func (c Config) credentialBucket() asset {
	a := c.bucket(c.names().CredentialBucket(), "renewals of certificates", maxCredentialBytes)
	a.want.MaxAge = credential.Lifetime
	a.want.SubjectDeleteMarkerTTL = time.Minute // nobody watches
	return a
}

// Credentials is the store of renewals.
func (b *Backbone) Credentials() *CredentialStore { return b.credentials }

// Get implements [credential.Store].
func (s *CredentialStore) Get(ctx context.Context, id hub.Identity) (credential.Operation, error) {
	e, err := s.bucket.get(ctx, subject.Key(id))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return credential.Operation{ID: id}, nil
	}
	if err != nil {
		return credential.Operation{ID: id}, err
	}
	op := credential.Operation{}
	if err := json.Unmarshal(e.Value(), &op); err != nil {
		op = credential.Operation{} // a damaged one keeps nobody from the next
	}
	op.ID, op.Revision = id, e.Revision()
	return op, nil
}

// Put implements [credential.Store].
func (s *CredentialStore) Put(ctx context.Context, op credential.Operation) (uint64, error) {
	value, err := json.Marshal(op)
	if err != nil {
		return 0, hub.Errorf(hub.ServerError, "write the renewal of %s as JSON: %w", op.ID, err)
	}
	rev, err := s.bucket.put(ctx, subject.Key(op.ID), value, op.Revision)
	if errors.Is(err, errStale) || errors.Is(err, jetstream.ErrKeyExists) {
		return 0, hub.Errorf(hub.PreconditionFailed, "the renewal of %s was changed meanwhile", op.ID)
	}
	return rev, err
}

// issuedEvent is the body of an event about a certificate.
type issuedEvent struct {
	DeviceID      string    `json:"deviceId"`
	ModuleID      string    `json:"moduleId,omitempty"`
	GenerationID  string    `json:"generationId"`
	RequestID     string    `json:"requestId"`
	CorrelationID string    `json:"correlationId"`
	Serial        string    `json:"serialNumber"` // hexadecimal
	Thumbprint    string    `json:"thumbprint"`   // SHA-256
	Issuer        string    `json:"issuer"`
	NotBefore     time.Time `json:"notBefore"`
	NotAfter      time.Time `json:"notAfter"`
}

// Issued tells of a certificate that the hub has issued.
func (v *Events) Issued(op credential.Operation, cert *x509.Certificate) {
	k := kind{"deviceLifecycleEvents", "deviceLifecycleNotification", "issueDeviceCertificate"}
	if op.ID.IsModule() {
		k.schema, k.opType = "moduleLifecycleNotification", "issueModuleCertificate"
	}
	body, err := json.Marshal(issuedEvent{
		DeviceID: op.ID.Device, ModuleID: op.ID.Module, GenerationID: op.Generation,
		RequestID: op.RID, CorrelationID: op.CorrelationID,
		Serial: cert.SerialNumber.Text(16), Thumbprint: credential.Thumbprint(cert), Issuer: cert.Issuer.String(),
		NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(),
	})
	if err != nil {
		v.lost(op.ID, err)
		return
	}
	v.enqueue(&notice{events: v, id: op.ID, subject: v.names.LifecycleEvent(op.ID), body: body, at: time.Now(), kind: k})
}

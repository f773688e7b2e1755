package identity

import (
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Status says whether a device may connect. A module has none of its own.
type Status string

// The statuses, as in IoT Hub's device object.
const (
	StatusEnabled  Status = "enabled"
	StatusDisabled Status = "disabled"
)

// AuthType is how an identity proves who it is.
type AuthType string

// The authentication types, as in IoT Hub's device object.
const (
	AuthSAS        AuthType = "sas"                  // a token that one of its keys signed
	AuthSelfSigned AuthType = "selfSigned"           // a certificate with a registered thumbprint
	AuthCA         AuthType = "certificateAuthority" // a certificate of a registered CA
	AuthNone       AuthType = "none"                 // nothing; see [Registry.Create]
)

// SymmetricKey is the two keys of an identity, in base64. Both are good, so
// that one can be replaced while the other is in use.
type SymmetricKey struct {
	PrimaryKey   string
	SecondaryKey string
}

// Thumbprints are the SHA-1 or SHA-256 digests of the certificates that an
// identity may show, in hexadecimal without separators.
type Thumbprints struct {
	PrimaryThumbprint   string
	SecondaryThumbprint string
}

// Authentication is how an identity proves who it is, and with what.
type Authentication struct {
	SymmetricKey   SymmetricKey
	X509Thumbprint Thumbprints
	Type           AuthType
}

// Record is one device or module as the registry keeps it. Its JSON is IoT
// Hub's device or module object without what the registry does not know, as
// connectionState.
type Record struct {
	ID hub.Identity
	// GenerationID tells an identity from an earlier one of the same name: the
	// time of its creation in .NET ticks.
	GenerationID string
	// ETag changes with every write.
	ETag   string
	Status Status // empty for a module
	// StatusReason is why; at most 128 characters. Devices only.
	StatusReason string
	// StatusUpdatedTime is when Status last changed; zero if never.
	StatusUpdatedTime time.Time
	CreatedTime       time.Time // as GenerationID says it; not in the JSON
	Authentication    Authentication
	Edge              bool   // capabilities.iotEdge; devices only
	ManagedBy         string // modules only
	// Scope is, of an edge device, its own, by which others name it as their
	// parent; of another device, that of the edge device which it belongs to.
	// Devices only.
	Scope string
	// ParentScopes is the scope of the edge device that this one belongs to, if
	// any: one entry at most. Devices only.
	ParentScopes []string
	// Revision is the store's number of the last write; not in the JSON.
	Revision uint64
}

// Keys returns the decoded symmetric keys, the primary one first; none when
// the identity does not authenticate by SAS token. It fails with ServerError
// when the record holds what the registry never accepted.
func (r *Record) Keys() ([][]byte, error) {
	if r.Authentication.Type != AuthSAS {
		return nil, nil
	}
	k := r.Authentication.SymmetricKey
	keys := make([][]byte, 0, 2)
	for _, text := range [...]string{k.PrimaryKey, k.SecondaryKey} {
		key, err := hub.DecodeKey(text)
		if err != nil {
			return nil, hub.Errorf(hub.ServerError, "a stored key of %s is damaged, so that it can't be used: %w", r.ID, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// WithoutKeys returns r without its symmetric keys, for lists and logs.
func (r Record) WithoutKeys() Record {
	r.Authentication.SymmetricKey = SymmetricKey{}
	return r
}

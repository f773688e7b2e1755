package identity

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Status says whether a device may connect. Modules have none of their own.
type Status string

// The statuses.
const (
	StatusEnabled  Status = "enabled"
	StatusDisabled Status = "disabled"
)

// AuthType is how an identity proves who it is.
type AuthType string

// The authentication types.
const (
	AuthSAS        AuthType = "sas"
	AuthSelfSigned AuthType = "selfSigned"
	AuthCA         AuthType = "certificateAuthority"
	AuthNone       AuthType = "none"
)

// SymmetricKey is the two keys of an identity, in base64; both are good.
type SymmetricKey struct {
	PrimaryKey   string
	SecondaryKey string
}

// Thumbprints are the SHA-1 or SHA-256 digests of an identity's certificates,
// in hexadecimal.
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

// Record is a device or a module as the registry keeps it.
type Record struct {
	ID                hub.Identity
	GenerationID      string // changes when the identity is deleted and created again
	ETag              string // changes with every write
	Status            Status // devices only
	StatusReason      string // at most 128 characters
	StatusUpdatedTime time.Time
	CreatedTime       time.Time
	Authentication    Authentication
	Edge              bool   // devices only
	ManagedBy         string // modules only

	Revision uint64 // of the store; not part of the JSON
}

// Keys returns the decoded symmetric keys, none when the identity has none.
func (r *Record) Keys() ([][]byte, error) {
	var keys [][]byte
	for _, text := range []string{r.Authentication.SymmetricKey.PrimaryKey, r.Authentication.SymmetricKey.SecondaryKey} {
		if text == "" {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, hub.Errorf(hub.ServerError, "a stored key of %s is not base64", r.ID)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// WithoutKeys returns r without its symmetric keys, for lists.
func (r Record) WithoutKeys() Record {
	r.Authentication.SymmetricKey = SymmetricKey{}
	return r
}

// recordJSON is IoT Hub's device and module object, its keys in the order in
// which the service prints them; the C# SDK needs type to be the last of
// authentication.
type recordJSON struct {
	DeviceID          string             `json:"deviceId"`
	ModuleID          string             `json:"moduleId,omitempty"`
	ManagedBy         *string            `json:"managedBy,omitempty"`
	GenerationID      string             `json:"generationId"`
	ETag              string             `json:"etag"`
	Status            Status             `json:"status,omitempty"`
	StatusReason      *string            `json:"statusReason,omitempty"`
	StatusUpdatedTime time.Time          `json:"statusUpdatedTime,omitzero"`
	CreatedTime       time.Time          `json:"createdTime,omitzero"`
	Authentication    authenticationJSON `json:"authentication"`
	Capabilities      *capabilitiesJSON  `json:"capabilities,omitempty"`
}

type authenticationJSON struct {
	SymmetricKey struct {
		PrimaryKey   *string `json:"primaryKey"`
		SecondaryKey *string `json:"secondaryKey"`
	} `json:"symmetricKey"`
	X509Thumbprint struct {
		PrimaryThumbprint   *string `json:"primaryThumbprint"`
		SecondaryThumbprint *string `json:"secondaryThumbprint"`
	} `json:"x509Thumbprint"`
	Type AuthType `json:"type"`
}

type capabilitiesJSON struct {
	IotEdge bool `json:"iotEdge"`
}

// MarshalJSON implements json.Marshaler.
func (r Record) MarshalJSON() ([]byte, error) {
	j := recordJSON{
		DeviceID: r.ID.Device, ModuleID: r.ID.Module, GenerationID: r.GenerationID, ETag: r.ETag,
		CreatedTime: r.CreatedTime,
	}
	if r.ID.IsModule() {
		j.ManagedBy = &r.ManagedBy
	} else {
		j.Status, j.StatusReason, j.StatusUpdatedTime = r.Status, &r.StatusReason, r.StatusUpdatedTime
		j.Capabilities = &capabilitiesJSON{r.Edge}
	}
	a := r.Authentication
	j.Authentication.Type = a.Type
	j.Authentication.SymmetricKey.PrimaryKey = orNull(a.SymmetricKey.PrimaryKey)
	j.Authentication.SymmetricKey.SecondaryKey = orNull(a.SymmetricKey.SecondaryKey)
	j.Authentication.X509Thumbprint.PrimaryThumbprint = orNull(a.X509Thumbprint.PrimaryThumbprint)
	j.Authentication.X509Thumbprint.SecondaryThumbprint = orNull(a.X509Thumbprint.SecondaryThumbprint)
	return json.Marshal(j)
}

// UnmarshalJSON implements json.Unmarshaler. Fields that it does not know are
// passed over: SDKs echo back all that they were sent.
func (r *Record) UnmarshalJSON(b []byte) error {
	var j recordJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("read a device or module object: %w", err)
	}
	a := j.Authentication
	*r = Record{
		ID:           hub.Identity{Device: j.DeviceID, Module: j.ModuleID},
		GenerationID: j.GenerationID, ETag: j.ETag, Status: j.Status, StatusReason: orEmpty(j.StatusReason),
		StatusUpdatedTime: j.StatusUpdatedTime, CreatedTime: j.CreatedTime, ManagedBy: orEmpty(j.ManagedBy),
		Edge: j.Capabilities != nil && j.Capabilities.IotEdge,
		Authentication: Authentication{
			SymmetricKey:   SymmetricKey{orEmpty(a.SymmetricKey.PrimaryKey), orEmpty(a.SymmetricKey.SecondaryKey)},
			X509Thumbprint: Thumbprints{orEmpty(a.X509Thumbprint.PrimaryThumbprint), orEmpty(a.X509Thumbprint.SecondaryThumbprint)},
			Type:           a.Type,
		},
	}
	return nil
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

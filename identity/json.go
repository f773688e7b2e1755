package identity

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/internal/plainjson"
)

// The JSON forms. Their fields are in the order in which IoT Hub prints them.
type (
	deviceJSON struct {
		DeviceID          string         `json:"deviceId"`
		GenerationID      string         `json:"generationId"`
		ETag              string         `json:"etag"`
		Status            Status         `json:"status"`
		StatusReason      text           `json:"statusReason"`
		StatusUpdatedTime time.Time      `json:"statusUpdatedTime"`
		Authentication    Authentication `json:"authentication"`
		Capabilities      capabilities   `json:"capabilities"`
		DeviceScope       string         `json:"deviceScope,omitempty"`
		ParentScopes      []string       `json:"parentScopes,omitempty"`
	}
	moduleJSON struct {
		ModuleID       string         `json:"moduleId"`
		ManagedBy      text           `json:"managedBy"`
		DeviceID       string         `json:"deviceId"`
		GenerationID   string         `json:"generationId"`
		ETag           string         `json:"etag"`
		Authentication Authentication `json:"authentication"`
	}
	// The C# SDK needs type behind the other two.
	authenticationJSON struct {
		SymmetricKey struct {
			PrimaryKey   text `json:"primaryKey"`
			SecondaryKey text `json:"secondaryKey"`
		} `json:"symmetricKey"`
		X509Thumbprint struct {
			PrimaryThumbprint   text `json:"primaryThumbprint"`
			SecondaryThumbprint text `json:"secondaryThumbprint"`
		} `json:"x509Thumbprint"`
		Type AuthType `json:"type"`
	}
	capabilities struct {
		IoTEdge bool `json:"iotEdge"`
	}
)

// text is a string that is null in JSON when it is empty: the C# SDK fails on
// an empty key.
type text string

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// MarshalJSON implements json.Marshaler. All of it is printed, null where
// nothing is set.
func (a Authentication) MarshalJSON() ([]byte, error) {
	j := authenticationJSON{Type: a.Type}
	j.SymmetricKey.PrimaryKey = text(a.SymmetricKey.PrimaryKey)
	j.SymmetricKey.SecondaryKey = text(a.SymmetricKey.SecondaryKey)
	j.X509Thumbprint.PrimaryThumbprint = text(a.X509Thumbprint.PrimaryThumbprint)
	j.X509Thumbprint.SecondaryThumbprint = text(a.X509Thumbprint.SecondaryThumbprint)
	return json.Marshal(j)
}

// UnmarshalJSON implements json.Unmarshaler. What is missing, null or empty is
// empty.
func (a *Authentication) UnmarshalJSON(b []byte) error {
	var j authenticationJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*a = Authentication{
		SymmetricKey:   SymmetricKey{string(j.SymmetricKey.PrimaryKey), string(j.SymmetricKey.SecondaryKey)},
		X509Thumbprint: Thumbprints{string(j.X509Thumbprint.PrimaryThumbprint), string(j.X509Thumbprint.SecondaryThumbprint)},
		Type:           j.Type,
	}
	return nil
}

// MarshalJSON implements json.Marshaler, with the keys; see
// [Record.WithoutKeys].
func (r Record) MarshalJSON() ([]byte, error) {
	if r.ID.IsModule() {
		return json.Marshal(moduleJSON{
			ModuleID: r.ID.Module, ManagedBy: text(r.ManagedBy), DeviceID: r.ID.Device,
			GenerationID: r.GenerationID, ETag: r.ETag, Authentication: r.Authentication,
		})
	}
	return json.Marshal(deviceJSON{
		DeviceID: r.ID.Device, GenerationID: r.GenerationID, ETag: r.ETag, Status: r.Status,
		StatusReason: text(r.StatusReason), StatusUpdatedTime: r.StatusUpdatedTime.UTC(),
		Authentication: r.Authentication, Capabilities: capabilities{r.Edge},
		DeviceScope: r.Scope, ParentScopes: r.ParentScopes,
	})
}

// UnmarshalJSON implements json.Unmarshaler. It checks types; rules are for
// [Registry]. Names that it does not know are passed over, as is what the
// registry decides itself, for SDKs send back all that they were sent. It
// fails with ArgumentInvalid; the error never holds what was read.
func (r *Record) UnmarshalJSON(b []byte) error {
	read, ok := plainRecord(b)
	if !ok {
		var err error
		if read, err = anyRecord(b); err != nil {
			return err
		}
	}
	*r = read
	return nil
}

// anyRecord is UnmarshalJSON for whatever there may be.
func anyRecord(b []byte) (Record, error) {
	var j struct {
		deviceJSON
		ModuleID          string  `json:"moduleId"`
		ManagedBy         string  `json:"managedBy"`
		StatusUpdatedTime instant `json:"statusUpdatedTime"`
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return Record{}, notAnIdentity(err)
	}
	return Record{
		ID: hub.Identity{Device: j.DeviceID, Module: j.ModuleID}, GenerationID: j.GenerationID, ETag: j.ETag,
		Status: j.Status, StatusReason: string(j.StatusReason), StatusUpdatedTime: j.StatusUpdatedTime.Time,
		CreatedTime: timeOf(j.GenerationID), Authentication: j.Authentication,
		Edge: j.Capabilities.IoTEdge, ManagedBy: j.ManagedBy, Scope: j.DeviceScope, ParentScopes: j.ParentScopes,
	}, nil
}

func notAnIdentity(err error) error {
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return hub.Errorf(hub.ArgumentInvalid, "this is not the JSON of a device or module: %w", hub.JSONFault(err, "deviceJSON"))
	}
	return hub.Errorf(hub.ArgumentInvalid, "this is not the JSON of a device or module")
}

// instant is a time that may have no zone: SDKs send 0001-01-01T00:00:00 back.
type instant struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler. What is not a time is the zero
// one: it is the registry that sets times.
func (i *instant) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	i.Time = parseInstant(s)
	return nil
}

func parseInstant(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// plainRecord is UnmarshalJSON for what MarshalJSON has written, if it is plain.
func plainRecord(b []byte) (record Record, ok bool) {
	r := plainjson.Read(b)
	record.ID.Module = r.Text("moduleId")
	record.ManagedBy = r.TextOrNull("managedBy")
	record.ID.Device = r.Text("deviceId")
	record.GenerationID = r.Text("generationId")
	record.ETag = r.Text("etag")
	record.Status = Status(r.Text("status"))
	record.StatusReason = r.TextOrNull("statusReason")
	record.StatusUpdatedTime = parseInstant(r.Text("statusUpdatedTime"))
	if r.Object("authentication") {
		a := &record.Authentication
		if r.Object("symmetricKey") {
			a.SymmetricKey = SymmetricKey{r.TextOrNull("primaryKey"), r.TextOrNull("secondaryKey")}
			r.End()
		}
		if r.Object("x509Thumbprint") {
			a.X509Thumbprint = Thumbprints{r.TextOrNull("primaryThumbprint"), r.TextOrNull("secondaryThumbprint")}
			r.End()
		}
		a.Type = AuthType(r.Text("type"))
		r.End()
	}
	if r.Object("capabilities") {
		record.Edge = r.Bool("iotEdge")
		r.End()
	}
	record.Scope = r.Text("deviceScope")
	if r.List("parentScopes") {
		for r.More() {
			record.ParentScopes = append(record.ParentScopes, r.ElementText())
		}
	}
	record.CreatedTime = timeOf(record.GenerationID)
	return record, r.Done()
}

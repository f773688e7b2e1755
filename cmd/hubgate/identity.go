package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

// key says which of an identity's two keys is meant.
type key string

const (
	primary   key = "primary"
	secondary key = "secondary"
	both      key = "both"
)

// of returns the key of r.
func (k key) of(r identity.Record) string {
	if k == secondary {
		return r.Authentication.SymmetricKey.SecondaryKey
	}
	return r.Authentication.SymmetricKey.PrimaryKey
}

// connectionString is what an SDK needs to connect as r.
func connectionString(host string, r identity.Record, k key) string {
	return connectionOf(host, r, k).String()
}

func connectionOf(host string, r identity.Record, k key) sas.ConnectionString {
	return sas.ConnectionString{
		HostName: host, DeviceID: r.ID.Device, ModuleID: r.ID.Module, SharedAccessKey: k.of(r),
		X509: r.Authentication.Type != identity.AuthSAS,
	}
}

// usableConnectionString is connectionString, unless no SDK could read the id
// out of it.
func usableConnectionString(host string, r identity.Record, k key) (string, error) {
	text := connectionString(host, r, k)
	if back, err := sas.ParseConnectionString(text); err != nil || back != connectionOf(host, r, k) {
		return "", hub.Errorf(hub.ArgumentInvalid, "no connection string can hold the id %s: a semicolon ends a part of it; "+
			"connect with host name, id and a token of hubgate sas, or choose an id without semicolon", r.ID)
	}
	return text, nil
}

// kind is what a command is about.
type kind string

const (
	devices kind = "device"
	modules kind = "module"
)

// parse reads the id of a command of this kind.
func (k kind) parse(text string) (hub.Identity, error) {
	id, err := hub.ParseIdentity(text)
	if err != nil {
		return id, usageError{fmt.Errorf("%s", sentence(err))}
	}
	if k == modules && !id.IsModule() {
		return id, usagef("%s names no module: write DEVICE/MODULE", text)
	}
	if k == devices && id.IsModule() {
		return id, usagef("%s names a module, and this command is for devices; use hubgate module", text)
	}
	return id, nil
}

// created is a new identity as -o json prints it.
type created struct {
	identity.Record
	ConnectionString string
	Note             string // why there is none
}

// newCreated describes r, which has just been created.
func newCreated(host string, r identity.Record) created {
	text, err := usableConnectionString(host, r, primary)
	if err != nil {
		return created{Record: r, Note: sentence(err)}
	}
	return created{Record: r, ConnectionString: text}
}

// MarshalJSON implements json.Marshaler: the object of the identity, without
// its keys, and the connection string.
func (c created) MarshalJSON() ([]byte, error) {
	object, err := withField(c.Record.WithoutKeys(), "connectionString", c.ConnectionString)
	if err != nil || c.Note == "" {
		return object, err
	}
	return withField(json.RawMessage(object), "note", c.Note)
}

func (c created) write(w io.Writer) error {
	return writePairs(w, append(pairsOf(c.Record), row{"Connection string", c.ConnectionString}, row{"Note", c.Note}))
}

// pairsOf describes an identity to people, without its keys.
func pairsOf(r identity.Record) []row {
	pairs := []row{{"Device", r.ID.Device}, {"Module", r.ID.Module}}
	if !r.ID.IsModule() {
		pairs = append(pairs, row{"Status", string(r.Status)}, row{"Status reason", visible(r.StatusReason)},
			row{"Status since", timeText(r.StatusUpdatedTime)})
	}
	prints := r.Authentication.X509Thumbprint
	return append(pairs, row{"Authentication", string(r.Authentication.Type)},
		row{"Thumbprint", prints.PrimaryThumbprint}, row{"Secondary thumbprint", prints.SecondaryThumbprint}, row{"Created", timeText(r.CreatedTime)},
		row{"Generation", r.GenerationID}, row{"ETag", r.ETag})
}

// headOf and rowOf make the table of a list.
func headOf(k kind) row {
	if k == modules {
		return row{"MODULE", "AUTHENTICATION", "CREATED", "MANAGED BY"}
	}
	return row{"DEVICE", "STATUS", "AUTHENTICATION", "CREATED", "REASON"}
}

func rowOf(r identity.Record) row {
	if r.ID.IsModule() {
		return row{r.ID.Module, string(r.Authentication.Type), timeText(r.CreatedTime), visible(r.ManagedBy)}
	}
	return row{r.ID.Device, string(r.Status), string(r.Authentication.Type), timeText(r.CreatedTime), visible(r.StatusReason)}
}

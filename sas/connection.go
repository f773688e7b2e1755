package sas

import (
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// ConnectionString is what the SDKs call a connection string, of a device, a
// module or a policy. Empty fields are left out.
type ConnectionString struct {
	HostName              string
	DeviceID              string
	ModuleID              string
	SharedAccessKeyName   string
	SharedAccessKey       string
	SharedAccessSignature string
	GatewayHostName       string
	X509                  string // "true" for a client certificate
}

// ParseConnectionString reads Name=Value pairs between semicolons; a value
// may hold =. It fails with ArgumentInvalid on an unknown or repeated name and
// on a missing HostName.
func ParseConnectionString(s string) (ConnectionString, error) {
	var c ConnectionString
	for pair := range strings.SplitSeq(strings.TrimSpace(s), ";") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		field := c.field(name)
		if field == nil {
			return c, hub.Errorf(hub.ArgumentInvalid, "a connection string has no part %q", name)
		}
		if *field != "" {
			return c, hub.Errorf(hub.ArgumentInvalid, "the connection string has %s twice", name)
		}
		*field = value
	}
	if c.HostName == "" {
		return c, hub.Errorf(hub.ArgumentInvalid, "the connection string has no HostName")
	}
	return c, nil
}

// String formats c in the order in which Azure shows it.
func (c ConnectionString) String() string {
	var b strings.Builder
	for _, name := range connectionStringParts() {
		value := *c.field(name)
		if value == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(name + "=" + value)
	}
	return b.String()
}

func connectionStringParts() []string {
	return []string{
		"HostName", "DeviceId", "ModuleId", "SharedAccessKeyName", "SharedAccessKey",
		"SharedAccessSignature", "GatewayHostName", "x509",
	}
}

func (c *ConnectionString) field(name string) *string {
	switch name {
	case "HostName":
		return &c.HostName
	case "DeviceId":
		return &c.DeviceID
	case "ModuleId":
		return &c.ModuleID
	case "SharedAccessKeyName":
		return &c.SharedAccessKeyName
	case "SharedAccessKey":
		return &c.SharedAccessKey
	case "SharedAccessSignature":
		return &c.SharedAccessSignature
	case "GatewayHostName":
		return &c.GatewayHostName
	case "x509":
		return &c.X509
	}
	return nil
}

package sas

import (
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// ConnectionString is what the SDKs call a connection string: where a hub is,
// who speaks to it, and with what secret. Empty fields are not in its text.
type ConnectionString struct {
	HostName              string
	DeviceID              string
	ModuleID              string
	SharedAccessKeyName   string // a policy's name
	SharedAccessKey       string // base64
	SharedAccessSignature string // a token in place of a key
	GatewayHostName       string // dialled in place of HostName
	X509                  bool   // the device shows a certificate
}

// ParseConnectionString reads Name=Value parts between semicolons. Names are
// those that the SDKs write, case included; a value may hold =. It fails with
// ArgumentInvalid on an unknown, repeated or empty part, on a value with white
// space around it, and when HostName is missing or a module has no device. The
// error never holds a value.
func ParseConnectionString(s string) (ConnectionString, error) {
	var c ConnectionString
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(strings.TrimSpace(s), ";") {
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return ConnectionString{}, hub.Errorf(hub.ArgumentInvalid, "part %d of the connection string is not Name=Value", len(seen)+1)
		}
		if seen[name] {
			return ConnectionString{}, hub.Errorf(hub.ArgumentInvalid, "the connection string has %s twice", name)
		}
		seen[name] = true
		if err := c.set(name, value); err != nil {
			return ConnectionString{}, err
		}
	}
	return c, c.validate()
}

func (c *ConnectionString) set(name, value string) error {
	if value == "" {
		return hub.Errorf(hub.ArgumentInvalid, "%s has no value in the connection string", clip(name))
	}
	if value != strings.TrimSpace(value) {
		return hub.Errorf(hub.ArgumentInvalid, "%s has white space around its value in the connection string", clip(name))
	}
	if name == "x509" {
		c.X509 = strings.EqualFold(value, "true")
		if !c.X509 && !strings.EqualFold(value, "false") {
			return hub.Errorf(hub.ArgumentInvalid, "x509 is true or false in a connection string")
		}
		return nil
	}
	field := c.field(name)
	if field == nil {
		return hub.Errorf(hub.ArgumentInvalid, "a connection string has no part %q: it has %s", clip(name), strings.Join(append(partNames(), "x509"), ", "))
	}
	*field = value
	return nil
}

func (c *ConnectionString) validate() error {
	if c.HostName == "" {
		return hub.Errorf(hub.ArgumentInvalid, "the connection string has no HostName")
	}
	if c.ModuleID != "" && c.DeviceID == "" {
		return hub.Errorf(hub.ArgumentInvalid, "the connection string has a ModuleId without a DeviceId")
	}
	return nil
}

// String formats c with its secrets, in the order in which Azure shows it. It
// is the inverse of [ParseConnectionString].
func (c ConnectionString) String() string {
	var parts []string
	for _, name := range partNames() {
		if value := *c.field(name); value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	if c.X509 {
		parts = append(parts, "x509=true")
	}
	return strings.Join(parts, ";")
}

// partNames are the parts with text, in Azure's order.
func partNames() []string {
	return []string{
		"HostName", "DeviceId", "ModuleId", "SharedAccessKeyName", "SharedAccessKey",
		"SharedAccessSignature", "GatewayHostName",
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
	default:
		return nil
	}
}

// clip shortens a name for a message: a key pasted in a wrong place must not
// be shown.
func clip(name string) string {
	const shown = 24
	if len(name) > shown {
		return name[:shown] + "…"
	}
	return name
}

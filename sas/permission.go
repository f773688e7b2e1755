package sas

import (
	"encoding/json"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// Permission is a set of IoT Hub's access rights, one bit each but for
// RegistryWrite, which holds RegistryRead (AccessRights of the C# SDK has the
// same values). Its text is "RegistryWrite, ServiceConnect", its JSON a list
// of names.
type Permission uint8

// The rights.
const (
	RegistryRead   Permission = 1
	RegistryWrite  Permission = 2 | RegistryRead
	ServiceConnect Permission = 4
	DeviceConnect  Permission = 8

	allPermissions = RegistryWrite | ServiceConnect | DeviceConnect
)

// Has reports whether p holds all rights of q.
func (p Permission) Has(q Permission) bool { return p&q == q }

// Names lists the rights in p, in the order in which Azure lists them; it is
// never nil.
func (p Permission) Names() []string {
	names := []string{}
	for _, q := range permissions() {
		if p.Has(q) {
			names = append(names, q.name())
		}
	}
	return names
}

func permissions() []Permission {
	return []Permission{RegistryRead, RegistryWrite, ServiceConnect, DeviceConnect}
}

func (p Permission) name() string {
	switch p {
	case RegistryRead:
		return "RegistryRead"
	case RegistryWrite:
		return "RegistryWrite"
	case ServiceConnect:
		return "ServiceConnect"
	default:
		return "DeviceConnect"
	}
}

// ParsePermissions makes a set of names. It fails with ArgumentInvalid on a
// name that is no right.
func ParsePermissions(names ...string) (Permission, error) {
	var p Permission
	for _, name := range names {
		q, err := parsePermission(name)
		if err != nil {
			return 0, err
		}
		p |= q
	}
	return p, nil
}

func parsePermission(name string) (Permission, error) {
	for _, q := range permissions() {
		if q.name() == name {
			return q, nil
		}
	}
	return 0, hub.Errorf(hub.ArgumentInvalid, "there is no permission %q: use %s", clip(name), allPermissions)
}

// String lists the rights, for example "RegistryRead, ServiceConnect".
func (p Permission) String() string { return strings.Join(p.Names(), ", ") }

// MarshalJSON implements json.Marshaler.
func (p Permission) MarshalJSON() ([]byte, error) { return json.Marshal(p.Names()) }

// UnmarshalJSON implements json.Unmarshaler. It fails with ArgumentInvalid.
func (p *Permission) UnmarshalJSON(b []byte) error {
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "permissions are a JSON list of names")
	}
	q, err := ParsePermissions(names...)
	if err != nil {
		return err
	}
	*p = q
	return nil
}

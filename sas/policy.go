package sas

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// Permission is a set of IoT Hub's rights. RegistryWrite holds RegistryRead
// (AccessRights of the C# SDK has the same values).
type Permission uint8

// The rights.
const (
	RegistryRead   Permission = 1
	RegistryWrite  Permission = 2 | RegistryRead
	ServiceConnect Permission = 4
	DeviceConnect  Permission = 8
)

// rights lists the single rights with their names, the wider one first.
func rights() []struct {
	permission Permission
	name       string
} {
	return []struct {
		permission Permission
		name       string
	}{
		{RegistryWrite, "RegistryWrite"},
		{RegistryRead, "RegistryRead"},
		{ServiceConnect, "ServiceConnect"},
		{DeviceConnect, "DeviceConnect"},
	}
}

// Has reports whether p holds all rights of q.
func (p Permission) Has(q Permission) bool { return p&q == q }

// String lists the rights, as "RegistryWrite, ServiceConnect".
func (p Permission) String() string { return strings.Join(p.names(), ", ") }

func (p Permission) names() []string {
	names := []string{}
	for _, r := range rights() {
		if p.Has(r.permission) {
			names = append(names, r.name)
			p &^= r.permission
		}
	}
	return names
}

// MarshalJSON implements json.Marshaler: a list of names.
func (p Permission) MarshalJSON() ([]byte, error) { return json.Marshal(p.names()) }

// UnmarshalJSON implements json.Unmarshaler.
func (p *Permission) UnmarshalJSON(b []byte) error {
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "permissions are a list of names: %w", err)
	}
	*p = 0
	for _, name := range names {
		q, ok := permissionOf(name)
		if !ok {
			return hub.Errorf(hub.ArgumentInvalid, "there is no permission %q: use RegistryRead, RegistryWrite, ServiceConnect, DeviceConnect", name)
		}
		*p |= q
	}
	return nil
}

func permissionOf(name string) (Permission, bool) {
	for _, r := range rights() {
		if r.name == name {
			return r.permission, true
		}
	}
	return 0, false
}

// Policy is a hub-wide shared access policy: a name, two keys, and what a
// token signed with one of them may do.
type Policy struct {
	Name         string     `json:"name"`
	PrimaryKey   string     `json:"primaryKey"`
	SecondaryKey string     `json:"secondaryKey"`
	Permissions  Permission `json:"permissions"`
}

// DefaultPolicies returns the policies that every IoT Hub begins with, with
// fresh keys.
func DefaultPolicies() []Policy {
	policies := []Policy{
		{Name: "iothubowner", Permissions: RegistryRead | RegistryWrite | ServiceConnect | DeviceConnect},
		{Name: "service", Permissions: ServiceConnect},
		{Name: "device", Permissions: DeviceConnect},
		{Name: "registryRead", Permissions: RegistryRead},
		{Name: "registryReadWrite", Permissions: RegistryRead | RegistryWrite},
	}
	for i := range policies {
		policies[i].PrimaryKey, policies[i].SecondaryKey = NewKey(), NewKey()
	}
	return policies
}

// Validate fails with ArgumentInvalid when p breaks a rule of IoT Hub: a name
// of 1 to 64 characters A-Z a-z 0-9 _-@. and two good keys.
func (p Policy) Validate() error {
	if ok, err := regexp.MatchString(`^[A-Za-z0-9_\-@.]{1,64}$`, p.Name); err != nil || !ok {
		return hub.Errorf(hub.ArgumentInvalid, "%q is no policy name: use 1 to 64 characters of A-Z a-z 0-9 _-@.", p.Name)
	}
	for _, key := range []string{p.PrimaryKey, p.SecondaryKey} {
		if _, err := DecodeKey(key); err != nil {
			return hub.Errorf(hub.ArgumentInvalid, "the policy %s: %w", p.Name, err)
		}
	}
	if p.Permissions == 0 {
		return hub.Errorf(hub.ArgumentInvalid, "the policy %s has no permissions", p.Name)
	}
	return nil
}

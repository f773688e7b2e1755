package sas

import (
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// Policy is a hub-wide shared access policy: a name, two keys in base64, both
// good, and what a token signed with one of them may do.
type Policy struct {
	Name         string     `json:"name"`
	PrimaryKey   string     `json:"primaryKey"`
	SecondaryKey string     `json:"secondaryKey"`
	Permissions  Permission `json:"permissions"`
}

// DefaultPolicies returns the five policies that every IoT Hub begins with,
// with fresh keys.
func DefaultPolicies() []Policy {
	policies := []Policy{
		{Name: "iothubowner", Permissions: allPermissions},
		{Name: "service", Permissions: ServiceConnect},
		{Name: "device", Permissions: DeviceConnect},
		{Name: "registryRead", Permissions: RegistryRead},
		{Name: "registryReadWrite", Permissions: RegistryWrite},
	}
	for i := range policies {
		policies[i].PrimaryKey, policies[i].SecondaryKey = NewKey(), NewKey()
	}
	return policies
}

// maxPolicyName is the longest name of a policy, in bytes.
const maxPolicyName = 64

// Validate fails with ArgumentInvalid unless p has a name of 1 to 64
// characters A-Z a-z 0-9 _ - @ . (Microsoft's resource provider schema), two
// good keys, and at least one right. The error never holds a key.
func (p Policy) Validate() error {
	if !IsPolicyName(p.Name) {
		return hub.Errorf(hub.ArgumentInvalid, "%q is not a policy name: use 1 to %d characters of A-Z a-z 0-9 _-@.", clip(p.Name), maxPolicyName)
	}
	if _, err := DecodeKey(p.PrimaryKey); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "the primary key of the policy %s: %w", p.Name, err)
	}
	if _, err := DecodeKey(p.SecondaryKey); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "the secondary key of the policy %s: %w", p.Name, err)
	}
	if p.Permissions == 0 || !allPermissions.Has(p.Permissions) {
		return hub.Errorf(hub.ArgumentInvalid, "the policy %s has no permissions: use %s", p.Name, allPermissions)
	}
	return nil
}

// IsPolicyName reports whether s can be the name of a policy.
func IsPolicyName(s string) bool {
	if s == "" || len(s) > maxPolicyName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		isAlnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !isAlnum && strings.IndexByte("_-@.", c) < 0 {
			return false
		}
	}
	return true
}

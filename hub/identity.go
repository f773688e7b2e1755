package hub

import "strings"

// MaxIDLength is the longest device or module id, in bytes.
const MaxIDLength = 128

// Identity names a device or, with Module set, a module of that device. Ids
// are case-sensitive and kept as they were sent; Identity is comparable and
// may be a map key.
type Identity struct {
	Device string
	Module string // empty for the device itself
}

// String returns the identity as an MQTT client id: "device" or "device/module".
func (id Identity) String() string {
	if id.Module == "" {
		return id.Device
	}
	return id.Device + "/" + id.Module
}

// IsModule reports whether id names a module.
func (id Identity) IsModule() bool { return id.Module != "" }

// ParseIdentity is the inverse of [Identity.String]. It fails with
// [ArgumentInvalid] when either part breaks the rule of [ValidID].
func ParseIdentity(s string) (Identity, error) {
	device, module, isModule := strings.Cut(s, "/")
	id := Identity{Device: device, Module: module}
	if !ValidID(device) || (isModule && !ValidID(module)) {
		return Identity{}, Errorf(ArgumentInvalid, "%.140q is not a device id, nor device/module: use 1 to %d characters of A-Z a-z 0-9 and -:.+%%_#*?!(),=@;$'", s, MaxIDLength)
	}
	return id, nil
}

// ValidID reports whether s may be a device or module id: 1 to 128 ASCII
// letters, digits and the characters -:.+%_#*?!(),=@;$' (Microsoft's "identity
// registry" page; the C# SDK's IotHubConnectionStringBuilder has the same set).
func ValidID(s string) bool {
	if s == "" || len(s) > MaxIDLength {
		return false
	}
	for i := range len(s) {
		if !isIDByte(s[i]) {
			return false
		}
	}
	return true
}

func isIDByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("-:.+%_#*?!(),=@;$'", c) >= 0
}

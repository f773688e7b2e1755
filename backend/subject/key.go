package subject

import (
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// Key is the KV key of an identity, {device} or {device}.{module}, each as one
// token.
func Key(id hub.Identity) string {
	if !id.IsModule() {
		return EncodeToken(id.Device)
	}
	return string(AppendKey(nil, id))
}

// AppendKey appends [Key] to dst.
func AppendKey(dst []byte, id hub.Identity) []byte {
	dst = AppendToken(dst, id.Device)
	if id.IsModule() {
		dst = append(dst, '.')
		dst = AppendToken(dst, id.Module)
	}
	return dst
}

// ParseKey is the inverse of [Key]. It fails with [hub.ArgumentInvalid] when
// the key has not one or two tokens, or a token is not the encoding of a valid
// id.
func ParseKey(key string) (hub.Identity, error) {
	device, module, isModule := strings.Cut(key, ".")
	var id hub.Identity
	var err error
	if id.Device, err = parseID(device); err != nil {
		return hub.Identity{}, err
	}
	if !isModule {
		return id, nil
	}
	if id.Module, err = parseID(module); err != nil {
		return hub.Identity{}, err
	}
	return id, nil
}

// Parse returns the identity that a subject of this hub ends with. family is
// what stands between the prefix and the identity, for example "telemetry",
// "events.connection" or "registry.get".
func (n Names) Parse(family, subject string) (hub.Identity, error) {
	rest, ok := strings.CutPrefix(subject, n.prefix()+"."+family+".")
	if !ok {
		return hub.Identity{}, hub.Errorf(hub.ArgumentInvalid, "%q does not begin with %s.%s.", subject, n.prefix(), family)
	}
	return ParseKey(rest)
}

// ModuleKeys matches the KV keys of all modules of a device.
func ModuleKeys(device string) string { return EncodeToken(device) + ".*" }

// DeviceKeys matches the KV keys of all devices, and of no module.
const DeviceKeys = "*"

func parseID(token string) (string, error) {
	id, err := DecodeToken(token)
	if err != nil {
		return "", err
	}
	if !hub.ValidID(id) {
		return "", hub.Errorf(hub.ArgumentInvalid, "%q is not a device or module id", id)
	}
	return id, nil
}

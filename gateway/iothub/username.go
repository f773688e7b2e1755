package iothub

import (
	"net/url"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// username is what an MQTT user name says:
//
//	{host}/{device}[/{module}]/?api-version=…&DeviceClientType=…&model-id=…
//
// The SDKs differ in the slash and the question mark before the options, and
// in what they escape; a hub that insists on one form loses devices.
type username struct {
	Host        string // without port, as sent
	ID          hub.Identity
	ClientAgent string
	ModelID     string
}

// parseUsername accepts every form that an SDK sends or that Microsoft ever
// documented, and any api-version. Ids are raw: a % in one is a %.
func parseUsername(s string) (username, error) {
	parts, options := splitOptions(s)
	if len(parts) < 2 {
		return username{}, hub.Errorf(hub.Unauthorized, "the user name is not {hub host name}/{device id}/?api-version=2021-04-12")
	}
	u := username{Host: hostOf(parts[0]), ID: hub.Identity{Device: parts[1]}}
	if len(parts) > 2 {
		u.ID.Module = parts[2]
	}
	if !hub.ValidID(u.ID.Device) || (u.ID.IsModule() && !hub.ValidID(u.ID.Module)) {
		return username{}, hub.Errorf(hub.Unauthorized, "the user name holds no valid device id after the host name")
	}
	u.setOptions(options)
	if len(u.ModelID) > maxModelID {
		return username{}, hub.Errorf(hub.Unauthorized, "the model id in the user name has %d bytes: the longest has %d", len(u.ModelID), maxModelID)
	}
	return u, nil
}

// What a device may say of itself: all of it is stored, the model id with every
// message. DTDL has the bound of a model id; the agents of SDKs have a few
// hundred bytes.
const (
	maxModelID = 2 << 10
	maxAgent   = 1 << 10
)

// splitOptions cuts s into host, device and module, and the options: they
// begin at the first segment behind the device that starts with ? or
// api-version=, and run to the end, slashes included. Empty segments do not
// count.
func splitOptions(s string) (parts []string, options string) {
	for s != "" {
		if len(parts) >= 2 && isOptions(s) {
			return parts, strings.TrimPrefix(s, "?")
		}
		part, rest, _ := strings.Cut(s, "/")
		if part != "" {
			parts = append(parts, part)
		}
		s = rest
	}
	return parts, ""
}

func isOptions(s string) bool {
	return strings.HasPrefix(s, "?") || strings.HasPrefix(s, "api-version=")
}

// hostOf cuts off the port that Node takes over from the connection string.
func hostOf(s string) string {
	if i := strings.LastIndexByte(s, ':'); i > 0 && isDigits(s[i+1:]) && !strings.Contains(s[:i], ":") {
		return s[:i]
	}
	return s
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// setOptions reads the options; unknown ones, and tokens without =, are
// passed over, and of duplicates the first counts. A long agent is cut off.
func (u *username) setOptions(s string) {
	for option := range strings.SplitSeq(s, "&") {
		name, value, _ := strings.Cut(option, "=")
		field := u.field(name)
		if field != nil && *field == "" {
			*field = strings.ToValidUTF8(unescape(value), "?")
		}
	}
	u.ClientAgent = strings.ToValidUTF8(u.ClientAgent[:min(len(u.ClientAgent), maxAgent)], "")
}

func (u *username) field(name string) *string {
	switch name {
	case "DeviceClientType":
		return &u.ClientAgent
	case "model-id", "digital-twin-model-id":
		return &u.ModelID
	}
	return nil
}

// unescape decodes percent escapes; text with a bad one is kept as it is.
func unescape(s string) string {
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}

package twin

import (
	"strconv"
	"time"
)

// View is a twin as IoT Hub's service API prints it: the document with what the
// registry, the session and the queues know of the identity.
//
// Source: what a hub answered to Azure.IoT.Hub.Service, recorded in the tests
// of that SDK.
type View struct {
	Twin

	DeviceETag    string // the etag of the identity, which is not that of the twin
	Status        string // enabled or disabled; of a module always enabled
	StatusReason  string // not printed when empty
	StatusUpdated time.Time

	Connected    bool
	LastActivity time.Time
	Messages     int // cloud-to-device messages that wait

	AuthenticationType  string
	PrimaryThumbprint   string // null when empty
	SecondaryThumbprint string // null when empty

	ModelID      string // of IoT Plug and Play, as its device has said it
	Edge         bool
	Scope        string   // not printed when empty
	ParentScopes []string // not printed when there are none

	// Configurations are those that target the identity, in the order in which
	// they are printed; the member is left out when there are none.
	Configurations []ConfigurationStatus
}

// ConfigurationStatus is how far a configuration has come with an identity.
type ConfigurationStatus struct {
	ID     string
	Status string // Targeted or Applied
}

// RootOrder is the names of all root members of a twin, in the order in which
// [View.AppendJSON] prints them. It is a new slice each time.
func RootOrder() []string {
	return []string{
		"deviceId", "moduleId", "etag",
		"deviceEtag", "status", "statusReason", "statusUpdateTime",
		"connectionState", "lastActivityTime", "cloudToDeviceMessageCount",
		"authenticationType", "x509Thumbprint", "modelId",
		"version", "tags", "properties",
		"capabilities", "configurations", "deviceScope", "parentScopes",
	}
}

// AppendJSON appends the view as the service API prints it. A module has no
// capabilities; IoT Hub prints them for modules in the rows of queries only.
func (v View) AppendJSON(dst []byte) []byte {
	if n := v.length() + viewLength; cap(dst)-len(dst) < n {
		dst = append(make([]byte, 0, len(dst)+n), dst...)
	}
	dst = append(dst, '{')
	dst = v.appendNames(dst)
	dst = v.appendRegistered(dst)
	dst = v.appendActivity(dst)
	dst = v.appendCredentials(dst)
	dst = append(dst, ',')
	dst = v.appendDocument(dst)
	dst = v.appendRelations(dst)
	return append(dst, '}')
}

// MarshalJSON implements json.Marshaler; see [View.AppendJSON].
func (v View) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// viewLength is about what a view adds to a document.
const viewLength = 768

const enabled = "enabled"

func (v View) appendRegistered(dst []byte) []byte {
	status := v.Status
	if status == "" { // the registry keeps none for a module
		status = enabled
	}
	dst = append(dst, `,"deviceEtag":`...)
	dst = appendString(dst, v.DeviceETag)
	dst = append(dst, `,"status":`...)
	dst = appendString(dst, status)
	if v.StatusReason != "" {
		dst = append(dst, `,"statusReason":`...)
		dst = appendString(dst, v.StatusReason)
	}
	dst = append(dst, `,"statusUpdateTime":`...) // the identity's is statusUpdatedTime
	return appendTime(dst, ticksOf(v.StatusUpdated))
}

func (v View) appendActivity(dst []byte) []byte {
	dst = v.appendState(append(dst, ','))
	dst = append(dst, `,"cloudToDeviceMessageCount":`...)
	return strconv.AppendInt(dst, int64(v.Messages), 10)
}

func (v View) appendState(dst []byte) []byte {
	state := "Disconnected"
	if v.Connected {
		state = "Connected"
	}
	dst = append(dst, `"connectionState":`...)
	dst = appendString(dst, state)
	dst = append(dst, `,"lastActivityTime":`...)
	return appendTime(dst, ticksOf(v.LastActivity))
}

// AppendPresence appends, as an object of its own, what a view says of the
// identity's connection: connectionState, lastActivityTime and modelId.
func (v View) AppendPresence(dst []byte) []byte {
	dst = v.appendState(append(dst, '{'))
	dst = append(dst, `,"modelId":`...)
	return append(appendString(dst, v.ModelID), '}')
}

func (v View) appendCredentials(dst []byte) []byte {
	dst = append(dst, `,"authenticationType":`...)
	dst = appendString(dst, v.AuthenticationType)
	dst = append(dst, `,"x509Thumbprint":{"primaryThumbprint":`...)
	dst = appendOrNull(dst, v.PrimaryThumbprint)
	dst = append(dst, `,"secondaryThumbprint":`...)
	dst = appendOrNull(dst, v.SecondaryThumbprint)
	dst = append(dst, `},"modelId":`...)
	return appendString(dst, v.ModelID)
}

func appendOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, null...)
	}
	return appendString(dst, s)
}

// appendRelations appends what stands behind the properties.
func (v View) appendRelations(dst []byte) []byte {
	if !v.ID.IsModule() {
		dst = append(dst, `,"capabilities":{"iotEdge":`...)
		dst = append(strconv.AppendBool(dst, v.Edge), '}')
	}
	for i, c := range v.Configurations {
		opening := byte(',')
		if i == 0 {
			dst, opening = append(dst, `,"configurations":`...), '{'
		}
		dst = appendKey(append(dst, opening), c.ID)
		dst = append(dst, `{"status":`...)
		dst = append(appendString(dst, c.Status), '}')
	}
	if len(v.Configurations) > 0 {
		dst = append(dst, '}')
	}
	if v.Scope != "" {
		dst = append(dst, `,"deviceScope":`...)
		dst = appendString(dst, v.Scope)
	}
	for i, scope := range v.ParentScopes {
		opening := byte(',')
		if i == 0 {
			dst, opening = append(dst, `,"parentScopes":`...), '['
		}
		dst = appendString(append(dst, opening), scope)
	}
	if len(v.ParentScopes) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

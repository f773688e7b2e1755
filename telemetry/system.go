package telemetry

import "github.com/hubgate/hubgate/hub"

// SystemProperty is a property that IoT Hub gives a meaning of its own. Its
// text, also as a key in JSON, is its header name.
type SystemProperty uint8

// The system properties that a device may set. All of them are carried as
// text; nobody checks what they say.
const (
	MessageID SystemProperty = iota
	CorrelationID
	UserID
	To
	Expiry // not enforced: it is for whoever reads the message
	ContentType
	ContentEncoding
	CreationTime
	Schema
	OutputName         // of a module
	InterfaceID        // of a security message, or of DTDL v1
	Component          // of a plug-and-play model
	ConnectionDeviceID // as the sender says; who it really is, says an annotation
	ConnectionModuleID // likewise
	DiagnosticID
	CorrelationContext

	systemProperties // how many there are
)

// names are what a system property is called.
type names struct {
	wire   string // in a property bag, decoded
	header string // in NATS: as IoT Hub's own endpoints call it
}

// table has the names of all system properties (MqttIotHubAdapter.cs of the C#
// SDK, SystemProperties.cs of edgeHub, iothubtransport_mqtt_common.c of the C
// SDK; Microsoft's page on reading messages for the header names). The two
// sender-… names are our own: IoT Hub has none, and what a sender says of
// itself must not look like what the hub knows.
//
//nolint:gochecknoglobals // a constant: built for every message it would cost
var table = [systemProperties]names{
	MessageID:          {"$.mid", "message-id"},
	CorrelationID:      {"$.cid", "correlation-id"},
	UserID:             {"$.uid", "user-id"},
	To:                 {"$.to", "to"},
	Expiry:             {"$.exp", "absolute-expiry-time"},
	ContentType:        {"$.ct", "content-type"},
	ContentEncoding:    {"$.ce", "content-encoding"},
	CreationTime:       {"$.ctime", "iothub-creation-time-utc"},
	Schema:             {"$.schema", "iothub-message-schema"},
	OutputName:         {"$.on", "output-name"},
	InterfaceID:        {"$.ifid", "iothub-interface-id"},
	Component:          {"$.sub", "dt-subject"},
	ConnectionDeviceID: {"$.cdid", "sender-device-id"},
	ConnectionModuleID: {"$.cmid", "sender-module-id"},
	DiagnosticID:       {"$.diagid", "Diagnostic-Id"},
	CorrelationContext: {"$.diagctx", "Correlation-Context"},
}

// Wire is the property's name in a property bag, decoded: "$.mid". It is empty
// when p is no system property.
func (p SystemProperty) Wire() string {
	if p >= systemProperties {
		return ""
	}
	return table[p].wire
}

// Header is the property's header name: the name that IoT Hub's own endpoints
// give it. It is empty when p is no system property.
func (p SystemProperty) Header() string {
	if p >= systemProperties {
		return ""
	}
	return table[p].header
}

// String is [SystemProperty.Header].
func (p SystemProperty) String() string { return p.Header() }

// MarshalText implements encoding.TextMarshaler.
func (p SystemProperty) MarshalText() ([]byte, error) { return []byte(p.Header()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It fails with
// ArgumentInvalid when b is not the header name of a system property.
func (p *SystemProperty) UnmarshalText(b []byte) error {
	for q := range systemProperties {
		if string(b) == q.Header() {
			*p = q
			return nil
		}
	}
	return hub.Errorf(hub.ArgumentInvalid, "there is no system property %.32q", b)
}

// systemProperty finds the property with a decoded name in a bag. Case counts.
func systemProperty(name []byte) (SystemProperty, bool) {
	if len(name) < 2 || name[0] != '$' || name[1] != '.' {
		return 0, false
	}
	for p := range systemProperties {
		if string(name) == table[p].wire {
			return p, true
		}
	}
	return 0, false
}

package telemetry

// SystemProperty is a property that IoT Hub gives a meaning of its own.
type SystemProperty uint8

// The system properties that a device may set.
const (
	MessageID SystemProperty = iota
	CorrelationID
	UserID
	To
	Expiry
	ContentType
	ContentEncoding
	CreationTime
	Schema
	OutputName
	InterfaceID
	Component
	SenderDeviceID
	SenderModuleID
	DiagnosticID
	CorrelationContext

	systemProperties // how many there are
)

// wire is the property's name in a property bag, after "$." (MqttIotHubAdapter.cs
// of the C# SDK, SystemProperties.cs of edgeHub, iothubtransport_mqtt_common.c of
// the C SDK).
func (p SystemProperty) wire() string {
	return [...]string{
		"mid", "cid", "uid", "to", "exp", "ct", "ce", "ctime", "schema", "on", "ifid", "sub",
		"cdid", "cmid", "diagid", "diagctx",
	}[p]
}

// Header is the property's header name: the name that IoT Hub's own endpoints
// give it.
func (p SystemProperty) Header() string {
	return [...]string{
		"message-id", "correlation-id", "user-id", "to", "absolute-expiry-time",
		"content-type", "content-encoding", "iothub-creation-time-utc", "iothub-message-schema",
		"output-name", "iothub-interface-id", "dt-subject",
		"sender-device-id", "sender-module-id", "Diagnostic-Id", "Correlation-Context",
	}[p]
}

// systemProperty finds the property of a bag's name, without "$.".
func systemProperty(wire []byte) (SystemProperty, bool) {
	for p := range systemProperties {
		if string(wire) == p.wire() {
			return p, true
		}
	}
	return 0, false
}

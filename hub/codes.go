package hub

import (
	"iter"
	"slices"
)

// form is how one code looks in every protocol.
type form struct {
	name    string // IoT Hub's name, as in the iothub-errorcode header
	connack byte   // MQTT 3.1.1 CONNACK return code
	reason  byte   // MQTT 5 reason code
	hint    string // what an operator does about it
}

// MQTT 3.1.1 CONNACK return codes that an IoT Hub device may see. 1, 2 and 4
// make some SDK stop for good, so no row has them.
const (
	connackUnavailable   = 3
	connackNotAuthorized = 5
)

// forms is the one table of errors. Nobody else translates a code.
//
//nolint:cyclop,funlen // a table: one case per code
func forms(c Code) form {
	switch c {
	case GenericBadRequest:
		return form{"GenericBadRequest", connackNotAuthorized, 0x81, "the packet breaks the MQTT specification; look at the client library"}
	case InvalidProtocol:
		return form{"InvalidProtocolVersion", connackNotAuthorized, 0x84, "IoT Hub devices speak MQTT 3.1.1"}
	case ArgumentInvalid:
		return form{"ArgumentInvalid", connackNotAuthorized, 0x90, "correct the topic, the property bag or the id"}
	case ConnectionReplaced:
		return form{"ConnectionForcefullyClosedOnNewConnection", connackUnavailable, 0x8E, "another connection came with this identity; if they alternate, two devices share one id"}
	case Unauthorized:
		return form{"IotHubUnauthorized", connackNotAuthorized, 0x87, "check the key or the certificate, its expiry and the device's clock"}
	case QuotaExceeded:
		return form{"IotHubQuotaExceeded", connackUnavailable, 0x97, "raise the limit or wait"}
	case QueueFull:
		return form{"DeviceMaximumQueueDepthExceeded", connackUnavailable, 0x97, "the device must take its messages first; or empty its queue with: hubgate c2d purge"}
	case InvalidExpiry:
		return form{"InvalidMessageExpiryTime", connackNotAuthorized, 0x90, "let the message expire within two days"}
	case TooManyCalls:
		return form{"DeviceMaximumInflightMethodExceeded", connackUnavailable, 0x97, "wait for the device's answers before calling it again"}
	case DeviceDisabled:
		return form{"DeviceDisabled", connackUnavailable, 0x87, "enable the device with: hubgate device enable"}
	case TooManyProperties:
		return form{"DeviceModelMaxPropertiesExceeded", connackNotAuthorized, 0x97, "delete reported properties by setting them to null; a section holds 32 KB"}
	case NotFound:
		return form{"GenericNotFound", connackNotAuthorized, 0x90, "look at what there is, and choose again"}
	case DeviceNotFound:
		return form{"DeviceNotFound", connackNotAuthorized, 0x87, "create the device with: hubgate device create"}
	case JobNotFound:
		return form{"JobNotFound", connackNotAuthorized, 0x80, "it has ended: by an answer, by its expiry or by a cancellation"}
	case CertificateNotFound:
		return form{"CertificateNotFound", connackNotAuthorized, 0x80, "see which there are with: hubgate authority list"}
	case ModuleNotFound:
		return form{"ModuleNotFound", connackNotAuthorized, 0x87, "create the module with: hubgate module create"}
	case DeviceNotOnline:
		return form{"DeviceNotOnline", connackUnavailable, 0x80, "the device must be connected and subscribed; see its connection events"}
	case ConnectionLost:
		return form{"DeviceConnectionClosedRemotely", connackUnavailable, 0x80, "the device or the network closed the connection"}
	case DeviceAlreadyExists:
		return form{"DeviceAlreadyExists", connackNotAuthorized, 0x80, "choose another id, or update the device"}
	case ModuleAlreadyExists:
		return form{"ModuleAlreadyExistsOnDevice", connackNotAuthorized, 0x80, "choose another id, or update the module"}
	case PreconditionFailed:
		return form{"PreconditionFailed", connackUnavailable, 0x80, "read it again and retry with the new etag"}
	case MessageTooLarge:
		return form{"MessageTooLarge", connackNotAuthorized, 0x95, "a message holds at most 256 KiB with its properties"}
	case TooManyModules:
		return form{"TooManyModulesOnDevice", connackNotAuthorized, 0x97, "delete a module of the device first"}
	case Throttled:
		return form{"ThrottlingException", connackUnavailable, 0x96, "slow down and retry"}
	case ServiceUnavailable:
		return form{"ServiceUnavailable", connackUnavailable, 0x88, "NATS or JetStream does not answer; see the gateway's log"}
	case GatewayTimeout:
		return form{"GatewayTimeout", connackUnavailable, 0x80, "nobody answered in time; retry"}
	case ServerError:
		fallthrough
	default:
		return form{"ServerError", connackUnavailable, 0x80, "a fault of the gateway; see its log"}
	}
}

// Codes yields every code that Hubgate uses, in ascending order.
func Codes() iter.Seq[Code] {
	return slices.Values([]Code{
		GenericBadRequest, InvalidProtocol, ArgumentInvalid, ConnectionReplaced,
		Unauthorized,
		QuotaExceeded, QueueFull, InvalidExpiry, DeviceDisabled, TooManyProperties, TooManyCalls,
		NotFound, DeviceNotFound, JobNotFound, CertificateNotFound, ModuleNotFound, DeviceNotOnline, ConnectionLost,
		DeviceAlreadyExists, ModuleAlreadyExists,
		PreconditionFailed,
		MessageTooLarge, TooManyModules,
		Throttled,
		ServerError,
		ServiceUnavailable,
		GatewayTimeout,
	})
}

// Name is IoT Hub's name of the code, for example "DeviceNotFound".
func (c Code) Name() string { return forms(c).name }

// Status is the HTTP status, and the status of $iothub/…/res/{status} topics.
func (c Code) Status() int { return int(c) / 1000 }

// Connack is the MQTT 3.1.1 CONNACK return code that refuses a connection: 5
// for what a retry can't mend, 3 for "come back later". A code without a row
// gives 3, never 0, which would accept.
func (c Code) Connack() byte { return forms(c).connack }

// Reason is the MQTT 5 reason code; always 0x80 or above.
func (c Code) Reason() byte { return forms(c).reason }

// Hint says what an operator can do.
func (c Code) Hint() string { return forms(c).hint }

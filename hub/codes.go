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
	case ArgumentNull:
		return form{"ArgumentNull", connackNotAuthorized, 0x90, "send what the request needs: the sentence names what is missing"}
	case BlobsRefused:
		return form{"BlobContainerValidationError", connackNotAuthorized, 0x80, "export and import need Azure Storage; list devices with a query, and create them in bulk with POST /devices"}
	case DefinedTwice:
		return form{"DeviceDefinedMultipleTimes", connackNotAuthorized, 0x80, "name each device once in a request"}
	case BulkFailed:
		return form{"BulkRegistryOperationFailure", connackNotAuthorized, 0x80, "see the errors in the answer: each names its device and what is wrong"}
	case ConnectionReplaced:
		return form{"ConnectionForcefullyClosedOnNewConnection", connackUnavailable, 0x8E, "another connection came with this identity; if they alternate, two devices share one id"}
	case InvalidScope:
		return form{"InvalidDeviceScope", connackNotAuthorized, 0x90, "a scope is that of an existing edge device, and an edge device keeps its own"}
	case BulkKeysFailed:
		return form{"BulkRegenerateDeviceKeyOperationFailure", connackNotAuthorized, 0x80, "see the errors in the answer: each names its device and what is wrong"}
	case CredentialFailed:
		return form{"CredentialOperationFailed", connackNotAuthorized, 0x83, "correct the request or the certificate signing request: credentialError and the sentence say what is wrong"}
	case InvalidCondition:
		return form{"InvalidConfigurationTargetCondition", connackNotAuthorized, 0x90, "correct the condition: the sentence names line and column"}
	case InvalidContent:
		return form{"InvalidConfigurationContent", connackNotAuthorized, 0x90, "correct the content: deviceContent, moduleContent or modulesContent, of properties.desired"}
	case ContentFixed:
		return form{"CannotModifyImmutableConfigurationContent", connackNotAuthorized, 0x90, "make a new configuration with a higher priority"}
	case InvalidMetrics:
		return form{"InvalidConfigurationCustomMetricsQuery", connackNotAuthorized, 0x90, "correct the query of the metric: the sentence names line and column"}
	case AccessDenied:
		return form{"IotHubUnauthorizedAccess", connackNotAuthorized, 0x87, "check the policy, its key and its permissions, and the expiry of the token"}
	case Unauthorized:
		return form{"IotHubUnauthorized", connackNotAuthorized, 0x87, "check the key or the certificate, its expiry and the device's clock"}
	case QuotaExceeded:
		return form{"IotHubQuotaExceeded", connackUnavailable, 0x97, "raise the limit or wait"}
	case QueueFull:
		return form{"DeviceMaximumQueueDepthExceeded", connackUnavailable, 0x97, "the device must take its messages first; or empty its queue with: hubgate c2d purge"}
	case InvalidExpiry:
		return form{"InvalidMessageExpiryTime", connackNotAuthorized, 0x90, "let the message expire within two days"}
	case DeviceDisabled:
		return form{"DeviceDisabled", connackUnavailable, 0x87, "enable the device with: hubgate device enable"}
	case TooManyProperties:
		return form{"DeviceModelMaxPropertiesExceeded", connackNotAuthorized, 0x97, "delete reported properties by setting them to null; a section holds 32 KB"}
	case TooManyCalls:
		return form{"DeviceMaximumInflightMethodExceeded", connackUnavailable, 0x97, "wait for the device's answers before calling it again"}
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
	case NotSupported:
		return form{"FeatureNotSupported", connackNotAuthorized, 0x83, "Hubgate does not have this; docs/http-api.md says what it has"}
	case DeviceNotOnline:
		return form{"DeviceNotOnline", connackUnavailable, 0x80, "the device must be connected and subscribed; see its connection events"}
	case ConnectionLost:
		return form{"DeviceConnectionClosedRemotely", connackUnavailable, 0x80, "the device or the network closed the connection"}
	case ConfigurationNotFound:
		return form{"ConfigurationNotFound", connackNotAuthorized, 0x80, "see which there are with: hubgate configuration list"}
	case MethodNotAllowed:
		return form{"GenericMethodNotAllowed", connackNotAuthorized, 0x83, "use a verb that the path has; the Allow header lists them"}
	case StateForbids:
		return form{"OperationNotAllowedInCurrentState", connackUnavailable, 0x83, "look at the state first: what has ended can't be changed"}
	case DeviceAlreadyExists:
		return form{"DeviceAlreadyExists", connackNotAuthorized, 0x80, "choose another id, or update the device"}
	case CredentialPending:
		return form{"CredentialOperationPending", connackUnavailable, 0x97, "wait for the answer to the request before"}
	case CredentialActive:
		return form{"CredentialOperationActive", connackUnavailable, 0x97, "wait for the answer to the request before, send the same again, or replace it"}
	case JobAlreadyExists:
		return form{"JobAlreadyExists", connackNotAuthorized, 0x80, "choose another job id"}
	case ModuleAlreadyExists:
		return form{"ModuleAlreadyExistsOnDevice", connackNotAuthorized, 0x80, "choose another id, or update the module"}
	case ConfigurationAlreadyExists:
		return form{"ConfigurationAlreadyExists", connackNotAuthorized, 0x80, "choose another id, or update the configuration with If-Match"}
	case PreconditionFailed:
		return form{"PreconditionFailed", connackUnavailable, 0x80, "read it again and retry with the new etag"}
	case LockLost:
		return form{"DeviceMessageLockLost", connackUnavailable, 0x80, "settle it within its lock, and once; ask for it again"}
	case CredentialUnready:
		return form{"CredentialManagementPreconditionFailed", connackNotAuthorized, 0x87, "give the hub an issuing authority, or let the identity authenticate by certificate"}
	case MessageTooLarge:
		return form{"MessageTooLarge", connackNotAuthorized, 0x95, "a message holds at most 256 KiB with its properties"}
	case TooManyDevices:
		return form{"TooManyDevices", connackNotAuthorized, 0x97, "send fewer in one request: the sentence has the limit"}
	case TooManyModules:
		return form{"TooManyModulesOnDevice", connackNotAuthorized, 0x97, "delete a module of the device first"}
	case TooManyConfigurations:
		return form{"ConfigurationCountLimitExceeded", connackNotAuthorized, 0x97, "delete a configuration that is no longer needed"}
	case WrongMediaType:
		return form{"GenericUnsupportedMediaType", connackNotAuthorized, 0x99, "send JSON in UTF-8, without compression"}
	case Throttled:
		return form{"ThrottlingException", connackUnavailable, 0x96, "slow down and retry"}
	case CredentialThrottled:
		return form{"ThrottleBacklogLimitExceeded", connackUnavailable, 0x96, "wait as long as retryAfter says"}
	case TooManyJobs:
		return form{"ThrottlingMaxActiveJobCountExceeded", connackUnavailable, 0x97, "wait until a job has ended, or cancel one"}
	case BadDeviceAnswer:
		return form{"InvalidResponseWhileProxying", connackUnavailable, 0x80, "the device must answer with JSON"}
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
		GenericBadRequest, InvalidProtocol, ArgumentInvalid, ArgumentNull, BlobsRefused, DefinedTwice,
		BulkFailed, ConnectionReplaced, InvalidScope, BulkKeysFailed, CredentialFailed, InvalidCondition,
		InvalidContent, ContentFixed, InvalidMetrics,
		AccessDenied, Unauthorized,
		QuotaExceeded, QueueFull, InvalidExpiry, DeviceDisabled, TooManyProperties, TooManyCalls,
		NotFound, DeviceNotFound, JobNotFound, CertificateNotFound, ModuleNotFound, NotSupported,
		DeviceNotOnline, ConnectionLost, ConfigurationNotFound,
		MethodNotAllowed, StateForbids,
		DeviceAlreadyExists, CredentialPending, CredentialActive, JobAlreadyExists, ModuleAlreadyExists, ConfigurationAlreadyExists,
		PreconditionFailed, LockLost, CredentialUnready,
		MessageTooLarge, TooManyDevices, TooManyModules, TooManyConfigurations,
		WrongMediaType,
		Throttled, CredentialThrottled, TooManyJobs,
		ServerError,
		BadDeviceAnswer,
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

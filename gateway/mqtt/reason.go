package mqtt

import "strconv"

// Reason is an MQTT 5 reason code (MQTT 5.0 section 2.4). Those below 0x80
// report success.
type Reason byte

// The reason codes. [ReasonSuccess] is also "normal disconnection" in
// DISCONNECT and "granted QoS 0" in SUBACK.
const (
	ReasonSuccess                     Reason = 0x00
	ReasonGrantedQoS1                 Reason = 0x01
	ReasonGrantedQoS2                 Reason = 0x02
	ReasonDisconnectWithWill          Reason = 0x04
	ReasonNoMatchingSubscribers       Reason = 0x10
	ReasonNoSubscriptionExisted       Reason = 0x11
	ReasonContinueAuthentication      Reason = 0x18
	ReasonReauthenticate              Reason = 0x19
	ReasonUnspecified                 Reason = 0x80
	ReasonMalformedPacket             Reason = 0x81
	ReasonProtocolError               Reason = 0x82
	ReasonImplementationSpecific      Reason = 0x83
	ReasonUnsupportedVersion          Reason = 0x84
	ReasonClientIDNotValid            Reason = 0x85
	ReasonBadCredentials              Reason = 0x86
	ReasonNotAuthorized               Reason = 0x87
	ReasonServerUnavailable           Reason = 0x88
	ReasonServerBusy                  Reason = 0x89
	ReasonBanned                      Reason = 0x8A
	ReasonServerShuttingDown          Reason = 0x8B
	ReasonBadAuthenticationMethod     Reason = 0x8C
	ReasonKeepAliveTimeout            Reason = 0x8D
	ReasonSessionTakenOver            Reason = 0x8E
	ReasonTopicFilterInvalid          Reason = 0x8F
	ReasonTopicNameInvalid            Reason = 0x90
	ReasonPacketIDInUse               Reason = 0x91
	ReasonPacketIDNotFound            Reason = 0x92
	ReasonReceiveMaximumExceeded      Reason = 0x93
	ReasonTopicAliasInvalid           Reason = 0x94
	ReasonPacketTooLarge              Reason = 0x95
	ReasonMessageRateTooHigh          Reason = 0x96
	ReasonQuotaExceeded               Reason = 0x97
	ReasonAdministrativeAction        Reason = 0x98
	ReasonPayloadFormatInvalid        Reason = 0x99
	ReasonRetainNotSupported          Reason = 0x9A
	ReasonQoSNotSupported             Reason = 0x9B
	ReasonUseAnotherServer            Reason = 0x9C
	ReasonServerMoved                 Reason = 0x9D
	ReasonSharedNotSupported          Reason = 0x9E
	ReasonConnectionRateExceeded      Reason = 0x9F
	ReasonMaximumConnectTime          Reason = 0xA0
	ReasonSubscriptionIDsNotSupported Reason = 0xA1
	ReasonWildcardNotSupported        Reason = 0xA2
)

// String names the reason as the specification does, in lower case.
func (r Reason) String() string {
	name := r.success()
	if r >= ReasonUnspecified {
		name = r.failure()
	}
	if name == "" {
		name = "reason 0x" + strconv.FormatUint(uint64(r), 16)
	}
	return name
}

// success names the codes below 0x80.
func (r Reason) success() string {
	switch r {
	case ReasonSuccess:
		return "success"
	case ReasonGrantedQoS1:
		return "granted QoS 1"
	case ReasonGrantedQoS2:
		return "granted QoS 2"
	case ReasonDisconnectWithWill:
		return "disconnect with will message"
	case ReasonNoMatchingSubscribers:
		return "no matching subscribers"
	case ReasonNoSubscriptionExisted:
		return "no subscription existed"
	case ReasonContinueAuthentication:
		return "continue authentication"
	case ReasonReauthenticate:
		return "re-authenticate"
	default:
		return ""
	}
}

// failure names the codes from 0x80.
func (r Reason) failure() string {
	names := [...]string{
		"unspecified error", "malformed packet", "protocol error", "implementation specific error",
		"unsupported protocol version", "client identifier not valid", "bad user name or password",
		"not authorized", "server unavailable", "server busy", "banned", "server shutting down",
		"bad authentication method", "keep alive timeout", "session taken over", "topic filter invalid",
		"topic name invalid", "packet identifier in use", "packet identifier not found",
		"receive maximum exceeded", "topic alias invalid", "packet too large", "message rate too high",
		"quota exceeded", "administrative action", "payload format invalid", "retain not supported",
		"QoS not supported", "use another server", "server moved", "shared subscriptions not supported",
		"connection rate exceeded", "maximum connect time", "subscription identifiers not supported",
		"wildcard subscriptions not supported",
	}
	if r > ReasonWildcardNotSupported {
		return ""
	}
	return names[r-ReasonUnspecified]
}

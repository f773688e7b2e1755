package mqtt

// connackReason reports whether CONNACK may have r (MQTT 5.0 table 3-1).
func connackReason(r Reason) bool {
	switch r {
	case ReasonSuccess, ReasonUnspecified, ReasonMalformedPacket, ReasonProtocolError,
		ReasonImplementationSpecific, ReasonUnsupportedVersion, ReasonClientIDNotValid, ReasonBadCredentials,
		ReasonNotAuthorized, ReasonServerUnavailable, ReasonServerBusy, ReasonBanned,
		ReasonBadAuthenticationMethod, ReasonTopicNameInvalid, ReasonPacketTooLarge, ReasonQuotaExceeded,
		ReasonPayloadFormatInvalid, ReasonRetainNotSupported, ReasonQoSNotSupported, ReasonUseAnotherServer,
		ReasonServerMoved, ReasonConnectionRateExceeded:
		return true
	default:
		return false
	}
}

// ackReason reports whether acknowledgement t may have r (MQTT 5.0 sections
// 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1).
func ackReason(t Type, r Reason) bool {
	if t == TypePubrel || t == TypePubcomp {
		return r == ReasonSuccess || r == ReasonPacketIDNotFound
	}
	switch r {
	case ReasonSuccess, ReasonNoMatchingSubscribers, ReasonUnspecified, ReasonImplementationSpecific,
		ReasonNotAuthorized, ReasonTopicNameInvalid, ReasonPacketIDInUse, ReasonQuotaExceeded,
		ReasonPayloadFormatInvalid:
		return true
	default:
		return false
	}
}

// subackReason reports whether SUBACK may have r (MQTT 5.0 table 3-8).
func subackReason(r Reason) bool {
	switch r {
	case ReasonSuccess, ReasonGrantedQoS1, ReasonGrantedQoS2, ReasonUnspecified, ReasonImplementationSpecific,
		ReasonNotAuthorized, ReasonTopicFilterInvalid, ReasonPacketIDInUse, ReasonQuotaExceeded,
		ReasonSharedNotSupported, ReasonSubscriptionIDsNotSupported, ReasonWildcardNotSupported:
		return true
	default:
		return false
	}
}

// unsubackReason reports whether UNSUBACK may have r (MQTT 5.0 table 3-9).
func unsubackReason(r Reason) bool {
	switch r {
	case ReasonSuccess, ReasonNoSubscriptionExisted, ReasonUnspecified, ReasonImplementationSpecific,
		ReasonNotAuthorized, ReasonTopicFilterInvalid, ReasonPacketIDInUse:
		return true
	default:
		return false
	}
}

// disconnectReason reports whether a DISCONNECT of from may have r (MQTT 5.0
// table 3-10).
func disconnectReason(r Reason, from Sender) bool {
	switch r {
	case ReasonSuccess, ReasonUnspecified, ReasonMalformedPacket, ReasonProtocolError,
		ReasonImplementationSpecific, ReasonTopicNameInvalid, ReasonReceiveMaximumExceeded,
		ReasonTopicAliasInvalid, ReasonPacketTooLarge, ReasonMessageRateTooHigh, ReasonQuotaExceeded,
		ReasonAdministrativeAction, ReasonPayloadFormatInvalid:
		return true
	case ReasonDisconnectWithWill:
		return from != FromServer
	case ReasonNotAuthorized, ReasonServerBusy, ReasonServerShuttingDown, ReasonKeepAliveTimeout,
		ReasonSessionTakenOver, ReasonTopicFilterInvalid, ReasonRetainNotSupported, ReasonQoSNotSupported,
		ReasonUseAnotherServer, ReasonServerMoved, ReasonSharedNotSupported, ReasonConnectionRateExceeded,
		ReasonMaximumConnectTime, ReasonSubscriptionIDsNotSupported, ReasonWildcardNotSupported:
		return from != FromClient
	default:
		return false
	}
}

// authReason reports whether an AUTH of from may have r (MQTT 5.0 table 3-11).
func authReason(r Reason, from Sender) bool {
	switch r {
	case ReasonContinueAuthentication:
		return true
	case ReasonSuccess:
		return from != FromClient
	case ReasonReauthenticate:
		return from != FromServer
	default:
		return false
	}
}

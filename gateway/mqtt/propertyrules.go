package mqtt

// about is what errors say of a property. Rule "present" is its section.
func (id Property) about() aboutField {
	f := aboutField{name: id.name(), present: id.section()}
	switch id {
	case PropertyContentType:
		f.utf8 = "MQTT5-3.3.2-19"
	case PropertyResponseTopic:
		f.utf8, f.wild = "MQTT5-3.3.2-13", "MQTT5-3.3.2-14"
		f.nul, f.long, f.invalid = topicNUL, topicLong, ReasonTopicNameInvalid
	case PropertyUser:
		f.utf8 = "MQTT5-1.5.7-1"
	default:
	}
	return f
}

// name is the table of names, empty for what is no property.
func (id Property) name() string {
	names := [lastProperty + 1]string{
		PropertyPayloadFormat:          "payload format indicator",
		PropertyMessageExpiry:          "message expiry interval",
		PropertyContentType:            "content type",
		PropertyResponseTopic:          "response topic",
		PropertyCorrelationData:        "correlation data",
		PropertySubscriptionID:         "subscription identifier",
		PropertySessionExpiry:          "session expiry interval",
		PropertyAssignedClientID:       "assigned client identifier",
		PropertyServerKeepAlive:        "server keep alive",
		PropertyAuthMethod:             "authentication method",
		PropertyAuthData:               "authentication data",
		PropertyRequestProblemInfo:     "request problem information",
		PropertyWillDelay:              "will delay interval",
		PropertyRequestResponseInfo:    "request response information",
		PropertyResponseInfo:           "response information",
		PropertyServerReference:        "server reference",
		PropertyReasonString:           "reason string",
		PropertyReceiveMaximum:         "receive maximum",
		PropertyTopicAliasMaximum:      "topic alias maximum",
		PropertyTopicAlias:             "topic alias",
		PropertyMaximumQoS:             "maximum QoS",
		PropertyRetainAvailable:        "retain available",
		PropertyUser:                   "user property",
		PropertyMaximumPacketSize:      "maximum packet size",
		PropertyWildcardAvailable:      "wildcard subscription available",
		PropertySubscriptionIDsAllowed: "subscription identifiers available",
		PropertySharedAvailable:        "shared subscription available",
	}
	if id > lastProperty {
		return ""
	}
	return names[id]
}

// section is the place in the specification that forbids the property twice and
// says which values it may have.
func (id Property) section() string {
	sections := [lastProperty + 1]string{
		PropertyPayloadFormat:          "MQTT5-3.3.2.3.2",
		PropertyMessageExpiry:          "MQTT5-3.3.2.3.3",
		PropertyContentType:            "MQTT5-3.3.2.3.9",
		PropertyResponseTopic:          "MQTT5-3.3.2.3.5",
		PropertyCorrelationData:        "MQTT5-3.3.2.3.6",
		PropertySubscriptionID:         "MQTT5-3.3.2.3.8",
		PropertySessionExpiry:          "MQTT5-3.1.2.11.2",
		PropertyAssignedClientID:       "MQTT5-3.2.2.3.7",
		PropertyServerKeepAlive:        "MQTT5-3.2.2.3.14",
		PropertyAuthMethod:             "MQTT5-3.1.2.11.9",
		PropertyAuthData:               "MQTT5-3.1.2.11.10",
		PropertyRequestProblemInfo:     "MQTT5-3.1.2.11.7",
		PropertyWillDelay:              "MQTT5-3.1.3.2.2",
		PropertyRequestResponseInfo:    "MQTT5-3.1.2.11.6",
		PropertyResponseInfo:           "MQTT5-3.2.2.3.15",
		PropertyServerReference:        "MQTT5-3.2.2.3.16",
		PropertyReasonString:           "MQTT5-3.2.2.3.9",
		PropertyReceiveMaximum:         "MQTT5-3.1.2.11.3",
		PropertyTopicAliasMaximum:      "MQTT5-3.1.2.11.5",
		PropertyTopicAlias:             "MQTT5-3.3.2-8 MQTT5-3.3.2.3.4",
		PropertyMaximumQoS:             "MQTT5-3.2.2.3.4",
		PropertyRetainAvailable:        "MQTT5-3.2.2.3.5",
		PropertyUser:                   "MQTT5-2.2.2.2",
		PropertyMaximumPacketSize:      "MQTT5-3.1.2.11.4",
		PropertyWildcardAvailable:      "MQTT5-3.2.2.3.11",
		PropertySubscriptionIDsAllowed: "MQTT5-3.2.2.3.12",
		PropertySharedAvailable:        "MQTT5-3.2.2.3.13",
	}
	if id > lastProperty {
		return ""
	}
	return sections[id]
}

// unknown is the error for an identifier that is no property, and misplaced
// that for one of another packet: both malformed (MQTT 5.0 section 2.2.2.2).
func (id Property) unknown() *Error {
	return broken(V5, ReasonMalformedPacket, "MQTT5-2.2.2.2", "packet has an unknown property")
}

func (id Property) misplaced() *Error {
	return broken(V5, ReasonMalformedPacket, "MQTT5-2.2.2.2", id.String()+" is not a property of this packet")
}

// twice is the error for a second value of a property that has one.
func (id Property) twice() *Error {
	return broken(V5, ReasonProtocolError, id.section(), id.String()+" comes more than once")
}

// outOfRange is the error for a number that the property can't have.
func (id Property) outOfRange() *Error {
	reason := ReasonProtocolError
	if id == PropertyTopicAlias {
		reason = ReasonTopicAliasInvalid // MQTT 5.0 section 3.3.2.3.4
	}
	return broken(V5, reason, id.section(), id.String()+" has a value that it can't have")
}

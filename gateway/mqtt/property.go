package mqtt

import "strconv"

// Property is the identifier of an MQTT 5 property (MQTT 5.0 section 2.2.2.2).
type Property byte

// The properties, with the packets that may hold them and what they are.
const (
	PropertyPayloadFormat          Property = 0x01 // PUBLISH, will: number 0 or 1
	PropertyMessageExpiry          Property = 0x02 // PUBLISH, will: number, seconds
	PropertyContentType            Property = 0x03 // PUBLISH, will: text
	PropertyResponseTopic          Property = 0x08 // PUBLISH, will: text, a topic
	PropertyCorrelationData        Property = 0x09 // PUBLISH, will: bytes
	PropertySubscriptionID         Property = 0x0B // PUBLISH (repeated), SUBSCRIBE: number, 1 to 268435455
	PropertySessionExpiry          Property = 0x11 // CONNECT, CONNACK, DISCONNECT: number, seconds
	PropertyAssignedClientID       Property = 0x12 // CONNACK: text
	PropertyServerKeepAlive        Property = 0x13 // CONNACK: number, seconds
	PropertyAuthMethod             Property = 0x15 // CONNECT, CONNACK, AUTH: text
	PropertyAuthData               Property = 0x16 // CONNECT, CONNACK, AUTH: bytes
	PropertyRequestProblemInfo     Property = 0x17 // CONNECT: number 0 or 1
	PropertyWillDelay              Property = 0x18 // will: number, seconds
	PropertyRequestResponseInfo    Property = 0x19 // CONNECT: number 0 or 1
	PropertyResponseInfo           Property = 0x1A // CONNACK: text
	PropertyServerReference        Property = 0x1C // CONNACK, DISCONNECT: text
	PropertyReasonString           Property = 0x1F // every answer, DISCONNECT, AUTH: text
	PropertyReceiveMaximum         Property = 0x21 // CONNECT, CONNACK: number, 1 to 65535
	PropertyTopicAliasMaximum      Property = 0x22 // CONNECT, CONNACK: number to 65535
	PropertyTopicAlias             Property = 0x23 // PUBLISH: number, 1 to 65535
	PropertyMaximumQoS             Property = 0x24 // CONNACK: number 0 or 1
	PropertyRetainAvailable        Property = 0x25 // CONNACK: number 0 or 1
	PropertyUser                   Property = 0x26 // every packet but PINGs, repeated: two texts
	PropertyMaximumPacketSize      Property = 0x27 // CONNECT, CONNACK: number from 1, bytes
	PropertyWildcardAvailable      Property = 0x28 // CONNACK: number 0 or 1
	PropertySubscriptionIDsAllowed Property = 0x29 // CONNACK: number 0 or 1
	PropertySharedAvailable        Property = 0x2A // CONNACK: number 0 or 1
)

// lastProperty is the highest identifier.
const lastProperty = PropertySharedAvailable

// kind is the way in which the value of a property is written.
type kind byte

const (
	kindNone   kind = iota // no such property
	kindFlag               // a byte, 0 or 1: there is no other use of a byte
	kindUint16             // two bytes
	kindUint32             // four bytes
	kindVarint             // variable byte integer
	kindText               // UTF-8 string
	kindData               // binary data
	kindPair               // two UTF-8 strings
)

// kind is the table of kinds.
func (id Property) kind() kind {
	switch id {
	case PropertyPayloadFormat, PropertyRequestProblemInfo, PropertyRequestResponseInfo,
		PropertyMaximumQoS, PropertyRetainAvailable, PropertyWildcardAvailable,
		PropertySubscriptionIDsAllowed, PropertySharedAvailable:
		return kindFlag
	case PropertyServerKeepAlive, PropertyReceiveMaximum, PropertyTopicAliasMaximum, PropertyTopicAlias:
		return kindUint16
	case PropertyMessageExpiry, PropertySessionExpiry, PropertyWillDelay, PropertyMaximumPacketSize:
		return kindUint32
	case PropertySubscriptionID:
		return kindVarint
	case PropertyContentType, PropertyResponseTopic, PropertyAssignedClientID, PropertyAuthMethod,
		PropertyResponseInfo, PropertyServerReference, PropertyReasonString:
		return kindText
	case PropertyCorrelationData, PropertyAuthData:
		return kindData
	case PropertyUser:
		return kindPair
	default:
		return kindNone
	}
}

// maximum is the largest number that a property of this kind holds.
func (k kind) maximum() uint32 {
	switch k {
	case kindFlag:
		return 1
	case kindUint16:
		return 1<<16 - 1
	case kindUint32:
		return 1<<32 - 1
	case kindVarint:
		return maxRemaining
	default:
		return 0
	}
}

// admits reports whether x may be the value of property id, which is a number
// of kind k.
func (id Property) admits(k kind, x uint32) bool {
	return x <= k.maximum() && (x > 0 || !nonzero.has(id))
}

// String names the property as the specification does.
func (id Property) String() string {
	if name := id.about().name; name != "" {
		return name
	}
	return "property " + strconv.Itoa(int(id))
}

// propertySet is a set of properties: bit n stands for property n.
type propertySet uint64

// has reports whether id is in s.
func (s propertySet) has(id Property) bool { return id <= lastProperty && s&(1<<id) != 0 }

// The properties that each packet may have (MQTT 5.0 table 2-4).
const (
	willProperties propertySet = 1<<PropertyPayloadFormat | 1<<PropertyMessageExpiry | 1<<PropertyContentType |
		1<<PropertyResponseTopic | 1<<PropertyCorrelationData | 1<<PropertyWillDelay | 1<<PropertyUser
	publishProperties propertySet = willProperties&^(1<<PropertyWillDelay) |
		1<<PropertySubscriptionID | 1<<PropertyTopicAlias
	connectProperties propertySet = 1<<PropertySessionExpiry | 1<<PropertyAuthMethod | 1<<PropertyAuthData |
		1<<PropertyRequestProblemInfo | 1<<PropertyRequestResponseInfo | 1<<PropertyReceiveMaximum |
		1<<PropertyTopicAliasMaximum | 1<<PropertyUser | 1<<PropertyMaximumPacketSize
	connackProperties propertySet = 1<<PropertySessionExpiry | 1<<PropertyAssignedClientID |
		1<<PropertyServerKeepAlive | 1<<PropertyAuthMethod | 1<<PropertyAuthData | 1<<PropertyResponseInfo |
		1<<PropertyServerReference | 1<<PropertyReasonString | 1<<PropertyReceiveMaximum |
		1<<PropertyTopicAliasMaximum | 1<<PropertyMaximumQoS | 1<<PropertyRetainAvailable | 1<<PropertyUser |
		1<<PropertyMaximumPacketSize | 1<<PropertyWildcardAvailable | 1<<PropertySubscriptionIDsAllowed |
		1<<PropertySharedAvailable
	ackProperties         propertySet = 1<<PropertyReasonString | 1<<PropertyUser
	subscribeProperties   propertySet = 1<<PropertySubscriptionID | 1<<PropertyUser
	unsubscribeProperties propertySet = 1 << PropertyUser
	disconnectProperties  propertySet = ackProperties | 1<<PropertySessionExpiry | 1<<PropertyServerReference
	authProperties        propertySet = ackProperties | 1<<PropertyAuthMethod | 1<<PropertyAuthData

	// nonzero are those for which 0 is no value.
	nonzero propertySet = 1<<PropertySubscriptionID | 1<<PropertyReceiveMaximum | 1<<PropertyTopicAlias |
		1<<PropertyMaximumPacketSize

	// repeatable are those that may come more than once: user properties
	// anywhere, subscription identifiers in PUBLISH.
	repeatable propertySet = 1<<PropertyUser | 1<<PropertySubscriptionID
)

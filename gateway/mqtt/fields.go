package mqtt

// field is a part of a packet that can be wrong. Values from fieldProperty on
// are properties: fieldProperty | identifier.
type field byte

const (
	fieldProtocolName field = iota
	fieldConnectFlags
	fieldKeepAlive
	fieldClientID
	fieldWillTopic
	fieldWillPayload
	fieldUsername
	fieldPassword
	fieldConnackFlags
	fieldCode
	fieldTopic
	fieldPacketID
	fieldAckID
	fieldSubackID
	fieldFilter
	fieldUnsubscribeFilter
	fieldOptions
	fieldPropertyLength

	fieldProperty field = 0x80
)

// aboutField is what errors say of a field, and which rules they name. Every
// rule is a list of statements for all versions, as in broken.
type aboutField struct {
	name    string
	present string // that it is there
	utf8    string // that it is text
	nul     string // that it holds no U+0000, besides the general rule
	long    string // that it is not too long
	wild    string // that it has no wildcards
	invalid Reason // code for a topic or filter that is not one
}

// The rules of section 4.7.3 for all topic names and filters.
const (
	topicNUL  = " MQTT3-4.7.3-2 MQTT5-4.7.3-2"
	topicLong = "MQTT3-4.7.3-3 MQTT5-4.7.3-3"
)

// about is the table of fields.
func (f field) about() aboutField {
	if f >= fieldProperty {
		return Property(f &^ fieldProperty).about()
	}
	return [...]aboutField{
		fieldProtocolName:      {name: "protocol name", present: "MQTT3-3.1.2-1 MQTT5-3.1.2-1"},
		fieldConnectFlags:      {name: "connect flags"},
		fieldKeepAlive:         {name: "keep alive"},
		fieldClientID:          {name: "client identifier", present: "MQTT3-3.1.3-3 MQTT5-3.1.3-3", utf8: "MQTT3-3.1.3-4 MQTT5-3.1.3-4"},
		fieldWillTopic:         {name: "will topic", present: "MQTT3-3.1.2-9 MQTT5-3.1.2-9", utf8: "MQTT3-3.1.3-10 MQTT5-3.1.3-11", nul: topicNUL, long: topicLong, invalid: ReasonTopicNameInvalid},
		fieldWillPayload:       {name: "will payload", present: "MQTT3-3.1.2-9 MQTT5-3.1.2-9"},
		fieldUsername:          {name: "user name", present: "MQTT3-3.1.2-19 MQTT5-3.1.2-17", utf8: "MQTT3-3.1.3-11 MQTT5-3.1.3-12"},
		fieldPassword:          {name: "password", present: "MQTT3-3.1.2-21 MQTT5-3.1.2-19"},
		fieldConnackFlags:      {name: "connect acknowledge flags"},
		fieldCode:              {name: "code"},
		fieldTopic:             {name: "topic name", present: "MQTT3-3.3.2-1 MQTT5-3.3.2-1", utf8: "MQTT3-3.3.2-1 MQTT5-3.3.2-1", nul: topicNUL, long: topicLong, wild: "MQTT3-3.3.2-2 MQTT5-3.3.2-2", invalid: ReasonTopicNameInvalid},
		fieldPacketID:          {name: "packet identifier", present: "MQTT3-2.3.1-1 MQTT5-2.2.1-3"},
		fieldAckID:             {name: "packet identifier", present: "MQTT3-2.3.1-6 MQTT5-2.2.1-5"},
		fieldSubackID:          {name: "packet identifier", present: "MQTT3-2.3.1-7 MQTT5-2.2.1-6"},
		fieldFilter:            {name: "topic filter", utf8: "MQTT3-3.8.3-1 MQTT5-3.8.3-1", nul: topicNUL, long: topicLong, invalid: ReasonTopicFilterInvalid},
		fieldUnsubscribeFilter: {name: "topic filter", utf8: "MQTT3-3.10.3-1 MQTT5-3.10.3-1", nul: topicNUL, long: topicLong, invalid: ReasonTopicFilterInvalid},
		fieldOptions:           {name: "subscription options"},
		fieldPropertyLength:    {name: "property length", present: "MQTT5-2.2.2-1"},
	}[f]
}

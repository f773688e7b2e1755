package mqtt

// fault is what can be wrong with the bytes of a field.
type fault byte

const (
	faultNone fault = iota
	faultCut
	faultIllFormed
	faultNUL
	faultTooLong
	faultEmpty
	faultWildcard
	faultHash
	faultPlus
	faultNoShareName
	faultShareName
)

// in makes the Error for a fault of field f in a packet of version v.
func (x fault) in(f field, v Version) *Error {
	about := f.about()
	reason, rules, text := x.about(about)
	if x == faultEmpty && f == fieldTopic {
		// MQTT 5.0 section 3.3.2.1: not a bad name, but none at all.
		reason = ReasonProtocolError
	}
	return broken(v, reason, rules, about.name+" "+text)
}

// about is the reason code, the rules and the predicate for a fault of a field.
func (x fault) about(f aboutField) (r Reason, rules, text string) {
	switch x {
	case faultCut:
		return ReasonMalformedPacket, f.present, "is missing or cut short"
	case faultIllFormed:
		return ReasonMalformedPacket, f.utf8 + " MQTT3-1.5.3-1 MQTT5-1.5.4-1", "is not well-formed UTF-8"
	case faultNUL:
		return ReasonMalformedPacket, f.utf8 + f.nul + " MQTT3-1.5.3-2 MQTT5-1.5.4-2", "holds U+0000"
	case faultTooLong:
		return ReasonMalformedPacket, f.long + " MQTT3-1.5.3 MQTT5-1.5.4", "is longer than 65535 bytes"
	case faultEmpty:
		return f.invalid, "MQTT3-4.7.3-1 MQTT5-4.7.3-1", "is empty"
	case faultWildcard:
		return f.invalid, f.wild + " MQTT3-4.7.1-1 MQTT5-4.7.0-1", "holds a wildcard"
	case faultHash:
		return f.invalid, "MQTT3-4.7.1-2 MQTT5-4.7.1-1", "has '#' where it is not the whole last level"
	case faultPlus:
		return f.invalid, "MQTT3-4.7.1-3 MQTT5-4.7.1-2", "has '+' where it is not a whole level"
	case faultNoShareName:
		return f.invalid, "MQTT5-4.8.2-1", "has an empty share name"
	default: // faultShareName
		return f.invalid, "MQTT5-4.8.2-2", "is not $share/name/filter with a name free of wildcards"
	}
}

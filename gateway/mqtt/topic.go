package mqtt

import "bytes"

// ValidTopic reports what is wrong with b as a topic name of any version: nil
// or an *Error.
func ValidTopic(b []byte) error {
	if f := topicFault(b); f != faultNone {
		return f.in(fieldTopic, 0)
	}
	return nil
}

// ValidFilter reports what is wrong with b as a topic filter of any version:
// nil or an *Error. To it, "$share" is a name like others: [SplitShared] knows
// more.
func ValidFilter(b []byte) error {
	if f := filterFault(b); f != faultNone {
		return f.in(fieldFilter, 0)
	}
	return nil
}

// SplitShared takes the filter "$share/name/filter" of an MQTT 5 shared
// subscription apart (MQTT 5.0 section 4.8.2) and says whether it is one; if
// not, filter is b. What is wrong with the form is an *Error; the filter that
// it returns has still to pass [ValidFilter].
func SplitShared(b []byte) (name, filter []byte, shared bool, err error) {
	name, filter, shared, f := splitShared(b)
	if f != faultNone {
		return nil, nil, true, f.in(fieldFilter, V5)
	}
	return name, filter, shared, nil
}

func splitShared(b []byte) (name, filter []byte, shared bool, f fault) {
	rest, shared := bytes.CutPrefix(b, []byte("$share/"))
	if !shared {
		return nil, b, false, faultNone
	}
	name, filter, found := bytes.Cut(rest, []byte("/"))
	switch {
	case len(name) == 0:
		return nil, nil, true, faultNoShareName // [MQTT5-4.8.2-1]
	case !found || len(filter) == 0 || contentOf(name)&hasWildcard != 0:
		return nil, nil, true, faultShareName // [MQTT5-4.8.2-2]
	}
	return name, filter, true, faultNone
}

// topicFault says what is wrong with b as a topic name. A wildcard comes last,
// so that whoever tolerates it has all the rest checked.
func topicFault(b []byte) fault {
	c := contentOf(b)
	switch {
	case c&hasIllFormed != 0:
		return faultIllFormed
	case c&hasNUL != 0:
		return faultNUL // [MQTT3-4.7.3-2] [MQTT5-4.7.3-2]
	case len(b) == 0:
		return faultEmpty // [MQTT3-4.7.3-1] [MQTT5-4.7.3-1]
	case len(b) > maxString:
		return faultTooLong // [MQTT3-4.7.3-3] [MQTT5-4.7.3-3]
	case c&hasWildcard != 0:
		return faultWildcard // [MQTT3-4.7.1-1] [MQTT5-4.7.0-1]
	}
	return faultNone
}

// filterFault says what is wrong with b as a topic filter. Misplaced wildcards
// come last.
func filterFault(b []byte) fault {
	if f := topicFault(b); f != faultWildcard {
		return f
	}
	for i, x := range b {
		first := i == 0 || b[i-1] == '/'
		last := i == len(b)-1
		switch {
		case x == '#' && (!first || !last):
			return faultHash // [MQTT3-4.7.1-2] [MQTT5-4.7.1-1]
		case x == '+' && (!first || !last && b[i+1] != '/'):
			return faultPlus // [MQTT3-4.7.1-3] [MQTT5-4.7.1-2]
		}
	}
	return faultNone
}

// subscriptionFault is filterFault for the filter of a SUBSCRIBE or
// UNSUBSCRIBE of version v, which may be a shared one in MQTT 5.
func subscriptionFault(b []byte, v Version) fault {
	if v != V5 {
		return filterFault(b)
	}
	name, filter, _, f := splitShared(b)
	if f != faultNone {
		return f
	}
	if f := textFault(name); f != faultNone {
		return f
	}
	return filterFault(filter)
}

// isShared reports whether b is the filter of a shared subscription in MQTT 5.
func isShared(b []byte) bool { return bytes.HasPrefix(b, []byte("$share/")) }

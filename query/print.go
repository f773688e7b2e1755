package query

import "github.com/go-json-experiment/json/jsontext"

// appendJSON prints the value at the place.
func (s *source) appendJSON(dst []byte, tape string, at int) []byte {
	t := tape[at]
	switch {
	case t >= tagShort:
		return appendQuoted(dst, tape[at+1:at+1+int(t&^tagShort)])
	case t >= tagSmall:
		return appendNumeral(dst, tape, at)
	}
	switch t {
	case tagNull:
		return append(dst, "null"...)
	case tagFalse:
		return append(dst, "false"...)
	case tagTrue:
		return append(dst, "true"...)
	case tagInteger, tagDecimal, tagNumber:
		return appendNumeral(dst, tape, at)
	case tagShape, tagObject:
		return s.appendObject(dst, tape, at)
	case tagArray:
		return s.appendArray(dst, tape, at)
	case tagTime, tagCounter, tagDigits: // nothing to escape
		return append(s.appendText(append(dst, '"'), tape, at), '"')
	}
	return appendQuoted(dst, s.text(tape, at))
}

func (s *source) appendArray(dst []byte, tape string, at int) []byte {
	_, n, at := containerAt(tape, at)
	dst = append(dst, '[')
	for begin, end := at, at+n; at < end; at = skip(tape, at) {
		if at > begin {
			dst = append(dst, ',')
		}
		dst = s.appendJSON(dst, tape, at)
	}
	return append(dst, ']')
}

func (s *source) appendObject(dst []byte, tape string, at int) []byte {
	dst = append(dst, '{')
	first := true
	s.members(tape, at, func(name, label string, at int) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if label == "" {
			dst = append(appendQuoted(dst, name), ':')
		} else {
			dst = append(dst, label...)
		}
		dst = s.appendJSON(dst, tape, at)
	})
	return append(dst, '}')
}

// members calls f with the names of an object and the places of their values. A
// name of a shape has a label, which is how JSON has it.
func (s *source) members(tape string, at int, f func(name, label string, at int)) {
	named := tape[at] == tagObject
	shape, n, at := containerAt(tape, at)
	known := (*s.dict.shapes.Load())[shape]
	for i, end := 0, at+n; at < end; i++ {
		var name, label string
		if named {
			length, begin := uvarint(tape, at)
			at = begin + int(length)
			name = tape[begin:at]
		} else {
			name, label = known.names[i], known.labels[i]
		}
		f(name, label, at)
		at = skip(tape, at)
	}
}

// appendQuoted appends a JSON string. Tapes hold valid UTF-8 only; of a query's
// own text that is as sure.
func appendQuoted(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			dst, _ = jsontext.AppendQuote(dst, s)
			return dst
		}
	}
	dst = append(append(dst, '"'), s...)
	return append(dst, '"')
}

// appendValue prints a value that an expression has; undefined has no JSON.
func appendValue(dst []byte, v value) []byte {
	switch v.kind {
	case kindNull:
		return append(dst, "null"...)
	case kindBool:
		if v.isTrue() {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case kindNumber:
		if v.str != "" {
			return appendNumeral(dst, v.str, 0)
		}
		return appendFloat(dst, v.num)
	case kindText:
		return appendQuoted(dst, v.str)
	default:
		return v.src.appendJSON(dst, v.str, 0)
	}
}

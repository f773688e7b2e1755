package direct

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

// Header is one header of a message.
type Header struct{ Name, Value string }

// Headers are those of a message. A name may be there several times.
type Headers []Header

// Get is the first value of a header, empty when there is none.
func (h Headers) Get(name string) string {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value
		}
	}
	return ""
}

// last is the last value of a header: the server's, if the publisher has one of
// this name too.
func (h Headers) last(name string) string {
	for _, one := range slices.Backward(h) {
		if one.Name == name {
			return one.Value
		}
	}
	return ""
}

// Map is all values of each name.
func (h Headers) Map() nats.Header {
	all := make(nats.Header, len(h))
	for _, one := range h {
		all.Add(one.Name, one.Value)
	}
	return all
}

func headersOf(all nats.Header) Headers {
	h := make(Headers, 0, len(all))
	for name, values := range all {
		for _, value := range values {
			h = append(h, Header{name, value})
		}
	}
	return h
}

// ReadHeaders reads headers as they are on the wire, in the way of nats.go but for
// the map that this makes, which costs as much as all else. None are returned when
// they can't be read.
func ReadHeaders(block string) Headers {
	if h, ok := readPlain(block); ok {
		return h
	}
	all, err := nats.DecodeHeadersMsg([]byte(block))
	if err != nil {
		return nil
	}
	return headersOf(all)
}

// readPlain reads headers as a server writes them, without a status.
func readPlain(text string) (h Headers, ok bool) {
	const usual = 6
	rest, ok := strings.CutPrefix(text, headerLine)
	h = make(Headers, 0, usual)
	for ok && rest != lineEnd {
		var line string
		if line, rest, ok = strings.Cut(rest, lineEnd); !ok || strings.IndexByte(line, '\n') >= 0 {
			return nil, false
		}
		name, value, found := strings.Cut(line, ": ")
		ok = found && name != "" && strings.IndexByte(name, ':') < 0 && (value == "" || value[0] != ' ' && value[0] != '\t')
		h = append(h, Header{name, value})
	}
	return h, ok
}

package telemetry

import (
	"maps"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Event is a device-to-cloud message as a back-end app reads it.
type Event struct {
	From       hub.Identity
	Body       []byte
	Properties map[string]string         // application properties; null ones are in Nulls
	Nulls      []string                  // names of properties without value, sorted by nobody
	System     map[SystemProperty]string // only those that the device set
	AuthMethod string
	Generation string
	ModelID    string
	Source     string
	Enqueued   time.Time // zero when the header is missing or not a time
}

// ParseHeaders is the inverse of [Message.Headers]; headers are those of a
// NATS message. Headers that the contract does not know are left out.
func ParseHeaders(headers map[string][]string) Event {
	e := Event{
		From:       hub.Identity{Device: first(headers, HeaderDeviceID), Module: first(headers, HeaderModuleID)},
		AuthMethod: first(headers, HeaderAuthMethod), Generation: first(headers, HeaderGeneration),
		ModelID: first(headers, HeaderModelID), Source: first(headers, HeaderSource),
		Properties: make(map[string]string), System: make(map[SystemProperty]string),
	}
	e.Enqueued, _ = time.Parse(timeLayout, first(headers, HeaderEnqueued))
	for p := range systemProperties {
		if _, ok := headers[p.Header()]; ok {
			e.System[p] = first(headers, p.Header())
		}
	}
	for name := range maps.Keys(headers) {
		app, ok := strings.CutPrefix(name, AppPrefix)
		if !ok {
			continue
		}
		if raw(headers, name) == nullValue {
			e.Nulls = append(e.Nulls, unescape(app))
			continue
		}
		e.Properties[unescape(app)] = first(headers, name)
	}
	return e
}

// first is the decoded value of a header.
func first(headers map[string][]string, name string) string { return unescape(raw(headers, name)) }

func raw(headers map[string][]string, name string) string {
	if v := headers[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var m Message
	m.scratch = make([]byte, 0, len(s))
	return string(m.decode([]byte(s)))
}

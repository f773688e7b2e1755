package telemetry

import (
	"slices"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
)

// Event is a device-to-cloud message as a back-end app reads it.
type Event struct {
	From       hub.Identity
	Body       []byte
	Properties map[string]string         // application properties, never nil; null ones are in Nulls
	Nulls      []string                  // names of properties without value, sorted
	System     map[SystemProperty]string // what the device set, never nil
	AuthMethod string                    // JSON; see the AuthMethod constants
	Generation string                    // generationId of the sender's identity
	ModelID    string                    // empty when the sender has no model
	Source     string                    // [SourceTelemetry]
	Enqueued   time.Time                 // zero when the header is missing or not a time
	Trace      span.Context              // where the hub's trace of the message goes on; may be none
}

// ParseHeaders is the inverse of [Message.Headers]: it reads the headers of a
// NATS message into an Event without a body. Headers that the contract does not
// have are left out, and of one that is there several times the first counts.
// Text that nobody encoded as the contract has it is taken as it is.
func ParseHeaders(headers map[string][]string) Event {
	e := Event{
		From:       hub.Identity{Device: decoded(headers, HeaderDeviceID), Module: decoded(headers, HeaderModuleID)},
		AuthMethod: decoded(headers, HeaderAuthMethod), Generation: decoded(headers, HeaderGeneration),
		ModelID: decoded(headers, HeaderModelID), Source: decoded(headers, HeaderSource),
		Properties: make(map[string]string), System: make(map[SystemProperty]string),
	}
	e.Trace = span.Of(headers)
	if t, err := time.Parse(timeLayout, decoded(headers, HeaderEnqueued)); err == nil {
		e.Enqueued = t
	}
	for p := range systemProperties {
		if values := headers[p.Header()]; len(values) > 0 {
			e.System[p] = decode(values[0])
		}
	}
	for name, values := range headers {
		if app, ok := strings.CutPrefix(name, AppPrefix); ok && len(values) > 0 {
			e.add(decode(app), values[0])
		}
	}
	slices.Sort(e.Nulls)
	return e
}

// add enters an application property with its encoded value.
func (e *Event) add(name, value string) {
	if value == nullValue {
		e.Nulls = append(e.Nulls, name)
		return
	}
	e.Properties[name] = decode(value)
}

func decoded(headers map[string][]string, name string) string {
	if values := headers[name]; len(values) > 0 {
		return decode(values[0])
	}
	return ""
}

func decode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	return string(appendDecoded(make([]byte, 0, len(s)), []byte(s)))
}

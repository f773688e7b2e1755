package configuration

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Configuration is one configuration or edge deployment. Its JSON is IoT Hub's.
type Configuration struct {
	ID            string
	SchemaVersion string // kept, and nothing else
	ContentType   string // kept, and nothing else
	Labels        map[string]string
	Content       Content
	// TargetCondition selects devices, or modules when it begins with FROM
	// devices.modules. * is all devices, and without one it selects none.
	TargetCondition string
	Created         time.Time
	Updated         time.Time
	Priority        int
	// System are the hub's own metrics; they follow from the rest.
	System Metrics
	// Custom are the metrics of whoever made the configuration.
	Custom Metrics
	// Version counts the writes, from 1. The etag is made of it.
	Version uint64
	// Revision is the store's number of the last write; not in the JSON.
	Revision uint64
}

// Metrics are queries, and how many rows they have.
type Metrics struct {
	Results map[string]int    `json:"results"`
	Queries map[string]string `json:"queries"`
}

// ETag changes with every write: base64 of a decimal counter, as IoT Hub's.
func (c Configuration) ETag() string {
	return base64.StdEncoding.EncodeToString(strconv.AppendUint(nil, c.Version, 10))
}

func versionOf(etag string) uint64 {
	text, _ := base64.StdEncoding.DecodeString(etag)
	n, _ := strconv.ParseUint(string(text), 10, 64)
	return n
}

// digest tells a configuration from an earlier one of the same id: the time of
// its creation in .NET ticks, as IoT Hub's looks.
func (c Configuration) digest() string {
	const ticksPerSecond, secondsAt1970 = 10_000_000, 62_135_596_800
	return strconv.FormatInt((c.Created.Unix()+secondsAt1970)*ticksPerSecond+int64(c.Created.Nanosecond())/100, 10)
}

// before reports whether c comes before d where both select a twin.
func (c Configuration) before(d Configuration) bool {
	switch {
	case c.Priority != d.Priority:
		return c.Priority > d.Priority
	case !c.Created.Equal(d.Created):
		return c.Created.After(d.Created)
	default:
		return c.ID < d.ID
	}
}

// wire is the JSON of a configuration, its members in IoT Hub's order.
type wire struct {
	ID              string            `json:"id"`
	SchemaVersion   *string           `json:"schemaVersion"`
	ContentType     string            `json:"contentType,omitempty"`
	Labels          map[string]string `json:"labels"`
	Content         Content           `json:"content"`
	TargetCondition string            `json:"targetCondition"`
	Created         stamp             `json:"createdTimeUtc"`
	Updated         stamp             `json:"lastUpdatedTimeUtc"`
	Priority        int               `json:"priority"`
	System          Metrics           `json:"systemMetrics"`
	Custom          Metrics           `json:"metrics"`
	ETag            string            `json:"etag"`
}

// wire is c as it is printed.
func (c Configuration) wire() wire {
	w := wire{
		ID: c.ID, ContentType: c.ContentType, Labels: orNone(c.Labels), Content: c.Content, TargetCondition: c.TargetCondition,
		Created: stamp(c.Created), Updated: stamp(c.Updated), Priority: c.Priority,
		System: c.System.complete(), Custom: c.Custom.complete(), ETag: c.ETag(),
	}
	if c.SchemaVersion != "" {
		w.SchemaVersion = &c.SchemaVersion
	}
	return w
}

// MarshalJSON implements json.Marshaler.
func (c Configuration) MarshalJSON() ([]byte, error) { return c.AppendJSON(nil) }

// complete is m with {} for what is missing, as IoT Hub prints it.
func (m Metrics) complete() Metrics {
	return Metrics{orNone(m.Results), orNone(m.Queries)}
}

func orNone[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// AppendJSON appends the JSON of c, <, > and & as they are.
func (c Configuration) AppendJSON(dst []byte) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(c.wire()); err != nil {
		return nil, hub.Errorf(hub.ServerError, "write the configuration %q as JSON: %w", c.ID, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// Parse reads what is sent to be the configuration id. It fails with
// ArgumentInvalid, also when the body names another one, and with
// MessageTooLarge beyond [MaxBody].
func Parse(id string, body []byte) (Configuration, error) {
	if len(body) > MaxBody {
		return Configuration{}, hub.Errorf(hub.MessageTooLarge, "a configuration has at most %d bytes, and this one has %d", MaxBody, len(body))
	}
	var c Configuration
	if err := json.Unmarshal(body, &c); err != nil {
		if e, ok := errors.AsType[*hub.Error](err); ok {
			return Configuration{}, e
		}
		return Configuration{}, hub.Errorf(hub.ArgumentInvalid, "this is not the JSON of a configuration: %w", hub.JSONFault(err, ""))
	}
	if c.ID != "" && c.ID != id {
		return Configuration{}, hub.Errorf(hub.ArgumentInvalid, "the request is about the configuration %.140q, and its body about %.140q", id, c.ID)
	}
	c.ID = id
	return c, nil
}

// UnmarshalJSON implements json.Unmarshaler. Members that it does not know are
// passed over. It fails with ArgumentInvalid.
func (c *Configuration) UnmarshalJSON(text []byte) error {
	var w wire
	if err := json.Unmarshal(text, &w); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "this is not the JSON of a configuration: %w", hub.JSONFault(err, ""))
	}
	*c = Configuration{
		ID: w.ID, ContentType: w.ContentType, Labels: w.Labels, Content: w.Content, TargetCondition: w.TargetCondition,
		Created: time.Time(w.Created), Updated: time.Time(w.Updated), Priority: w.Priority,
		System: w.System, Custom: w.Custom, Version: versionOf(w.ETag),
	}
	if w.SchemaVersion != nil {
		c.SchemaVersion = *w.SchemaVersion
	}
	return nil
}

// stamp is a time as IoT Hub prints it.
type stamp time.Time

const stampLayout = "2006-01-02T15:04:05.9999999Z"

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	return time.Time(s).UTC().AppendFormat([]byte{'"'}, stampLayout+`"`), nil
}

// UnmarshalJSON implements json.Unmarshaler. What is no time is zero: clients
// send back what they got, and some in other forms.
func (s *stamp) UnmarshalJSON(text []byte) error {
	var at time.Time
	if at.UnmarshalJSON(text) == nil {
		*s = stamp(at.UTC())
	}
	return nil
}

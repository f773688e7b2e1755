package jobs

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// request is the body that makes a job. Other members are ignored, as IoT Hub
// does: SDKs send what they have read.
type request struct {
	ID        string          `json:"jobId"`
	Type      string          `json:"type"`
	Method    json.RawMessage `json:"cloudToDeviceMethod"`
	Twin      json.RawMessage `json:"updateTwin"`
	Condition string          `json:"queryCondition"`
	Start     *string         `json:"startTime"`
	Seconds   *int            `json:"maxExecutionTimeInSeconds"`
}

// Parse reads the body of a request for the job with this id, which is made now.
// It fails with ArgumentInvalid, ArgumentNull, MessageTooLarge, and, when the
// twin's etag is not "*", with PreconditionFailed. A condition is not looked at:
// a job with a bad one is accepted and fails when it begins.
func Parse(id string, body []byte, now time.Time) (Job, error) {
	if err := CheckID(id); err != nil {
		return Job{}, err
	}
	if len(body) > MaxBody {
		return Job{}, hub.Errorf(hub.MessageTooLarge, "the job has %d bytes; it may have %d", len(body), MaxBody)
	}
	var r request
	if len(bytes.TrimSpace(body)) == 0 {
		return Job{}, hub.Errorf(hub.ArgumentNull, "the body is empty: send a job as JSON")
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return Job{}, hub.Errorf(hub.ArgumentInvalid, "the body is no job as JSON: %w", hub.JSONFault(err, ""))
	}
	if r.ID != "" && r.ID != id {
		return Job{}, hub.Errorf(hub.ArgumentInvalid, "the path names the job %q and the body %.80q", id, r.ID)
	}
	if len(r.Condition) > MaxCondition {
		return Job{}, hub.Errorf(hub.ArgumentInvalid, "the condition has %d bytes; it may have %d", len(r.Condition), MaxCondition)
	}
	j := Job{ID: id, Condition: r.Condition, Created: now.UTC().Truncate(ticks)}
	if err := j.what(r); err != nil {
		return Job{}, err
	}
	return j, j.when(r)
}

// what reads the operation.
func (j *Job) what(r request) error {
	switch {
	case strings.EqualFold(r.Type, string(UpdateTwin)):
		j.Type = UpdateTwin
		return j.patch(r.Twin)
	case strings.EqualFold(r.Type, string(InvokeMethod)):
		j.Type = InvokeMethod
		return j.method(r.Method)
	case r.Type == "":
		return hub.Errorf(hub.ArgumentNull, "the job has no type: it is %s or %s", UpdateTwin, InvokeMethod)
	default:
		return hub.Errorf(hub.ArgumentInvalid, "the type %.64q is none that can be scheduled: use %s or %s", r.Type, UpdateTwin, InvokeMethod)
	}
}

func (j *Job) patch(twin json.RawMessage) error {
	if isNull(twin) {
		return hub.Errorf(hub.ArgumentNull, "a job of type %s needs updateTwin", UpdateTwin)
	}
	var head struct {
		ETag string `json:"etag"`
	}
	if err := json.Unmarshal(twin, &head); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "updateTwin is no twin: %w", hub.JSONFault(err, ""))
	}
	if head.ETag != "*" {
		return hub.Errorf(hub.PreconditionFailed, `updateTwin has the etag %.64q: a job writes many twins, so it must be "*"`, head.ETag)
	}
	var err error
	j.Twin, err = compact(twin)
	return err
}

func (j *Job) method(method json.RawMessage) error {
	if isNull(method) {
		return hub.Errorf(hub.ArgumentNull, "a job of type %s needs cloudToDeviceMethod", InvokeMethod)
	}
	var m struct {
		Method
		Timeout int `json:"timeoutInSeconds"` // the older name
	}
	if err := json.Unmarshal(method, &m); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "cloudToDeviceMethod is no call of a method: %w", hub.JSONFault(err, "Method"))
	}
	if m.ResponseTimeout == 0 {
		m.ResponseTimeout = m.Timeout
	}
	if m.Name == "" {
		return hub.Errorf(hub.ArgumentNull, "cloudToDeviceMethod needs methodName")
	}
	j.Method = &m.Method
	if m.Payload == nil {
		return nil
	}
	var err error
	j.Method.Payload, err = compact(m.Payload)
	return err
}

// when reads the times.
func (j *Job) when(r request) error {
	j.Start, j.Status, j.Seconds = j.Created, Queued, int(DefaultTime.Seconds())
	if r.Start != nil && *r.Start != "" {
		start, err := parseTime(*r.Start)
		if err != nil {
			return err
		}
		if start.After(j.Created.Add(MaxAhead)) {
			return hub.Errorf(hub.ArgumentInvalid, "startTime %s is more than %d hours ahead", *r.Start, int(MaxAhead.Hours()))
		}
		if start.After(j.Created) {
			j.Start, j.Status = start, Scheduled
		}
	}
	if r.Seconds != nil && *r.Seconds != 0 {
		j.Seconds = *r.Seconds
	}
	if most := int(MaxTime.Seconds()); j.Seconds < 1 || j.Seconds > most {
		return hub.Errorf(hub.ArgumentInvalid, "maxExecutionTimeInSeconds is %d; it may be 1 to %d", j.Seconds, most)
	}
	return nil
}

// ticks is how fine IoT Hub's times are.
const ticks = 100 * time.Nanosecond

// parseTime reads an ISO time; without a zone it is UTC.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Truncate(ticks), nil
		}
	}
	return time.Time{}, hub.Errorf(hub.ArgumentInvalid, "startTime %.64q is no time such as 2026-01-31T12:00:00Z", s)
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// compact takes the blanks out, and keeps everything else.
func compact(raw json.RawMessage) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the body is no JSON: %w", err)
	}
	return b.Bytes(), nil
}

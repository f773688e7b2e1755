package jobs

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// stamp is how IoT Hub prints times.
const stamp = "2006-01-02T15:04:05.9999999Z"

// Time is a time that IoT Hub's JSON prints; the zero time is left out.
type Time struct{ time.Time }

// MarshalJSON implements [json.Marshaler].
func (t Time) MarshalJSON() ([]byte, error) { return t.UTC().AppendFormat(nil, `"`+stamp+`"`), nil }

// Response is a job as IoT Hub prints it, its JobResponse.
type Response struct {
	ID         string          `json:"jobId"`
	Condition  string          `json:"queryCondition,omitempty"`
	Created    Time            `json:"createdTime"`
	Start      Time            `json:"startTime"`
	End        Time            `json:"endTime,omitzero"`
	Seconds    int             `json:"maxExecutionTimeInSeconds"`
	Type       Type            `json:"type"`
	Method     *Method         `json:"cloudToDeviceMethod,omitempty"`
	Twin       json.RawMessage `json:"updateTwin,omitempty"`
	Status     Status          `json:"status"`
	Failure    string          `json:"failureReason,omitempty"`
	Message    string          `json:"statusMessage,omitempty"`
	Statistics Statistics      `json:"deviceJobStatistics"`
}

// Response is j as others see it.
func (j *Job) Response() Response {
	return Response{
		ID: j.ID, Condition: j.Condition, Created: Time{j.Created}, Start: Time{j.Start}, End: Time{j.End}, Seconds: j.Seconds,
		Type: j.Type, Method: j.Method, Twin: j.Twin, Status: j.Status, Failure: j.Failure, Message: j.Message, Statistics: j.Statistics,
	}
}

// Unknown is IoT Hub's answer to the question for a job that does not exist: it
// is none that failed.
const Unknown = `{"type":"unknown","status":"unknown"}`

// AppendJSON appends the response as JSON, in which strings are as they were sent.
func (r Response) AppendJSON(dst []byte) ([]byte, error) {
	b, err := encode(r)
	return append(dst, b...), err
}

// encode is v as JSON, without escapes for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, hub.Errorf(hub.ServerError, "write a job as JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Encode is what the store keeps of j.
func (j *Job) Encode() ([]byte, error) { return encode(j) }

// Decode is the inverse of [Job.Encode] for the job with this id.
func Decode(id string, value []byte) (Job, error) {
	var j Job
	if err := json.Unmarshal(value, &j); err != nil {
		return j, hub.Errorf(hub.ServerError, "the stored job %s is damaged: %w", id, err)
	}
	if j.Type != UpdateTwin && j.Type != InvokeMethod || j.Type == InvokeMethod && j.Method == nil {
		return j, hub.Errorf(hub.ServerError, "the stored job %s is damaged: it says not what to do", id)
	}
	j.ID = id
	return j, nil
}

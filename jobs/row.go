package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

// RowStatus is how far a job is with one device. IoT Hub writes canceled here
// with one l.
type RowStatus string

// The statuses of a row. RowRunning is written before a method is called, and
// never before a twin is updated, which can be done again.
const (
	RowPending   RowStatus = "pending"
	RowRunning   RowStatus = "running"
	RowCompleted RowStatus = "completed"
	RowFailed    RowStatus = "failed"
	RowCanceled  RowStatus = "canceled"
)

// Row is what a job has to do with one device or module, and what has become of
// it: IoT Hub's DeviceJob, a document of FROM devices.jobs.
type Row struct {
	For     hub.Identity
	Job     string
	Type    Type
	Status  RowStatus
	Start   time.Time // when it began with the device
	End     time.Time
	Created time.Time
	Updated time.Time
	Answer  *Answer   // of a method
	Error   *RowError // of a failure

	Revision uint64 // of the store
}

// Answer is what a device has said to a method.
type Answer struct {
	Status  int             `json:"status"`
	Payload json.RawMessage `json:"payload"`
}

// RowError is why a job has failed with a device. The code is IoT Hub's number.
type RowError struct {
	Code        string `json:"code"`
	Description string `json:"description"`
}

type outcome struct {
	Answer *Answer `json:"deviceMethodResponse,omitempty"`
}

// printed is the JSON of a row.
type printed struct {
	Device  string    `json:"deviceId"`
	Module  string    `json:"moduleId,omitempty"`
	Job     string    `json:"jobId"`
	Type    Type      `json:"jobType"`
	Status  RowStatus `json:"status"`
	Start   Time      `json:"startTimeUtc,omitzero"`
	End     Time      `json:"endTimeUtc,omitzero"`
	Created Time      `json:"createdDateTimeUtc"`
	Updated Time      `json:"lastUpdatedDateTimeUtc"`
	Outcome *outcome  `json:"outcome,omitempty"`
	Error   *RowError `json:"error,omitempty"`
}

// Encode is the row as IoT Hub prints it, and as the store keeps it.
func (r *Row) Encode() ([]byte, error) {
	p := printed{
		Device: r.For.Device, Module: r.For.Module, Job: r.Job, Type: r.Type, Status: r.Status,
		Start: Time{r.Start}, End: Time{r.End}, Created: Time{r.Created}, Updated: Time{r.Updated}, Error: r.Error,
	}
	if r.Answer != nil {
		p.Outcome = &outcome{r.Answer}
	}
	return encode(p)
}

// DecodeRow is the inverse of [Row.Encode].
func DecodeRow(value []byte) (Row, error) {
	var p printed
	if err := json.Unmarshal(value, &p); err != nil {
		return Row{}, hub.Errorf(hub.ServerError, "the row of a job is damaged: %w", err)
	}
	r := Row{
		For: hub.Identity{Device: p.Device, Module: p.Module}, Job: p.Job, Type: p.Type, Status: p.Status,
		Start: p.Start.Time, End: p.End.Time, Created: p.Created.Time, Updated: p.Updated.Time, Error: p.Error,
	}
	if p.Outcome != nil {
		r.Answer = p.Outcome.Answer
	}
	return r, nil
}

// newRow is the row of a device with which nothing has been done.
func newRow(j *Job, id hub.Identity, now time.Time) Row {
	return Row{For: id, Job: j.ID, Type: j.Type, Status: RowPending, Created: now.UTC(), Updated: now.UTC()}
}

// settled reports whether the row changes no more.
func (r *Row) settled() bool { return r.Status != RowPending && r.Status != RowRunning }

// finish gives a row its last status; an error makes it a failure.
func (r *Row) finish(s RowStatus, err error, now time.Time) {
	r.Status, r.End, r.Updated = s, now.UTC(), now.UTC()
	if err == nil {
		return
	}
	code := hub.CodeOf(err)
	r.Error = &RowError{Code: strconv.Itoa(int(code)), Description: code.Hint()}
	if e, ok := errors.AsType[*hub.Error](err); ok {
		r.Error.Description = e.Message
	}
}

// payload is what a device has answered, as JSON: what is none becomes a string, and
// so does what queries could not read.
func payload(b []byte) json.RawMessage {
	switch {
	case len(b) == 0:
		return json.RawMessage("null")
	case isPlain(b):
		return b
	}
	text, err := json.Marshal(string(b))
	if err != nil { // a string always can be
		return json.RawMessage("null")
	}
	return text
}

// maxDepth is how deep objects and arrays of an answer stand inside each other: as
// deep as a query reads a row, but for what is around the answer.
const maxDepth = 60

// isPlain reports whether b is JSON without what readers take differently: text that
// is not UTF-8, an object with a name twice, or more depth than many of them bear.
func isPlain(b []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(b))
	for {
		_, err := d.ReadToken()
		if err != nil || d.StackDepth() > maxDepth {
			return false
		}
		if d.StackDepth() == 0 {
			_, err = d.ReadToken()
			return errors.Is(err, io.EOF)
		}
	}
}

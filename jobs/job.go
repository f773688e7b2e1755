package jobs

import (
	"encoding/json"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Limits of the rules, and their defaults.
const (
	MaxID         = 64 // characters of a job's id
	MaxAhead      = 168 * time.Hour
	DefaultTime   = time.Hour           // when maxExecutionTimeInSeconds is missing
	MaxTime       = 30 * 24 * time.Hour // of maxExecutionTimeInSeconds
	MaxCondition  = 8192                // bytes of a condition
	MaxBody       = 192 << 10           // bytes of a request: a payload of 128 KiB, and more
	History       = 30 * 24 * time.Hour
	maxNotEnded   = 1000 // jobs that wait or run
	DefaultActive = 10
	DefaultFlight = 100
)

// Type is what a job does.
type Type string

// The types that IoT Hub schedules.
const (
	UpdateTwin   Type = "scheduleUpdateTwin"
	InvokeMethod Type = "scheduleDeviceMethod"
)

// Status is how far a job is, in the words of IoT Hub.
type Status string

// The statuses of a job. Cancelled is said as soon as somebody has cancelled a
// job, although some devices may still be at work: see [Job.Settled].
const (
	Scheduled Status = "scheduled" // its time is to come
	Queued    Status = "queued"    // its time has come
	Running   Status = "running"
	Completed Status = "completed" // whatever has become of each device
	Failed    Status = "failed"    // its condition is wrong, or its time was too short
	Cancelled Status = "cancelled"
)

// Ended reports whether the status changes no more.
func (s Status) Ended() bool { return s == Completed || s == Failed || s == Cancelled }

// Method is the direct method that a job calls. Timeouts of 0 mean the defaults
// of direct methods.
type Method struct {
	Name            string          `json:"methodName"`
	Payload         json.RawMessage `json:"payload,omitempty"`
	ResponseTimeout int             `json:"responseTimeoutInSeconds,omitempty"`
	ConnectTimeout  int             `json:"connectTimeoutInSeconds,omitempty"`
}

// Statistics are how many devices are how far. Devices is the sum of the others.
type Statistics struct {
	Devices   int `json:"deviceCount"`
	Failed    int `json:"failedCount"`
	Succeeded int `json:"succeededCount"`
	Running   int `json:"runningCount"`
	Pending   int `json:"pendingCount"`
}

// Job is one operation on all devices that a condition selects. Its JSON is what
// the store keeps; the ID is in the key. [Job.Response] is what others see.
type Job struct {
	ID        string          `json:"-"`
	Type      Type            `json:"type"`
	Condition string          `json:"queryCondition,omitempty"`
	Method    *Method         `json:"cloudToDeviceMethod,omitempty"`
	Twin      json.RawMessage `json:"updateTwin,omitempty"`
	Created   time.Time       `json:"createdTime"`
	Start     time.Time       `json:"startTime"`
	Seconds   int             `json:"maxExecutionTimeInSeconds"`
	By        string          `json:"by,omitempty"` // who asked for it, as he calls himself

	Status     Status     `json:"status"`
	Begun      time.Time  `json:"begunTime,omitzero"` // when its time began to run
	End        time.Time  `json:"endTime,omitzero"`
	Failure    string     `json:"failureReason,omitempty"`
	Message    string     `json:"statusMessage,omitempty"`
	Statistics Statistics `json:"deviceJobStatistics"`

	// Claim names the run that works on the job; empty: none does.
	Claim string `json:"claim,omitempty"`
	// Targeted says that the set of devices stands in the rows, and grows no more.
	Targeted bool `json:"targeted,omitempty"`
	// Settled says that nobody has to work on the job any more.
	Settled bool `json:"settled,omitempty"`

	Revision uint64 `json:"-"` // of the store
}

// deadline is when the time of a job that has begun is over.
func (j *Job) deadline() time.Time {
	return j.Begun.Add(time.Duration(j.Seconds) * time.Second)
}

// light is j without what may be large.
func (j *Job) light() Job {
	l := *j
	l.Method, l.Twin, l.Condition = nil, nil, ""
	return l
}

// end gives a job its last status.
func (j *Job) end(s Status, failure string, now time.Time) {
	j.Status, j.Failure, j.End = s, failure, now.UTC()
}

// ValidID reports whether s may be the id of a job: 1 to 64 lower-case letters,
// digits, - and '.
func ValidID(s string) bool {
	if s == "" || len(s) > MaxID {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '\'' {
			return false
		}
	}
	return true
}

func notFound(id string) error {
	return hub.Errorf(hub.JobNotFound, "there is no job %.64q; jobs are kept for 30 days after their end", id)
}

// CheckID refuses what is no id of a job.
func CheckID(id string) error {
	if !ValidID(id) {
		return hub.Errorf(hub.ArgumentInvalid, "%.80q is no id of a job: use 1 to 64 of a-z 0-9 - '", id)
	}
	return nil
}

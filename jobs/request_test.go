package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 123_456_789, time.UTC) }

// What is sent comes back as IoT Hub prints it.
func TestResponse(t *testing.T) {
	t.Parallel()
	const head = `{"jobId":"j-1",`
	const tail = `"deviceJobStatistics":{"deviceCount":0,"failedCount":0,"succeededCount":0,"runningCount":0,"pendingCount":0}}`
	for name, c := range map[string]struct{ body, want string }{
		"twin": {
			`{"jobId":"j-1","type":"scheduleUpdateTwin","updateTwin":{ "etag":"*", "tags":{"n":1.50e2,"t":"<é>"}},"queryCondition":"tags.a < 1","startTime":"2026-01-02T04:00:00.5+00:30","maxExecutionTimeInSeconds":60,"unknown":[1]}`,
			head + `"queryCondition":"tags.a < 1","createdTime":"2026-01-02T03:04:05.1234567Z","startTime":"2026-01-02T03:30:00.5Z","maxExecutionTimeInSeconds":60,"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"n":1.50e2,"t":"<é>"}},"status":"scheduled",` + tail,
		},
		"method": {
			`{"type":"ScheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":{"a": [1, 2]},"responseTimeoutInSeconds":10,"connectTimeoutInSeconds":5}}`,
			head + `"createdTime":"2026-01-02T03:04:05.1234567Z","startTime":"2026-01-02T03:04:05.1234567Z","maxExecutionTimeInSeconds":3600,"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":{"a":[1,2]},"responseTimeoutInSeconds":10,"connectTimeoutInSeconds":5},"status":"queued",` + tail,
		},
		"older timeout, start in the past": {
			`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","timeoutInSeconds":7},"startTime":"2020-01-01T00:00:00","queryCondition":"*","maxExecutionTimeInSeconds":0}`,
			head + `"queryCondition":"*","createdTime":"2026-01-02T03:04:05.1234567Z","startTime":"2026-01-02T03:04:05.1234567Z","maxExecutionTimeInSeconds":3600,"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","responseTimeoutInSeconds":7},"status":"queued",` + tail,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, err := jobs.Parse("j-1", []byte(c.body), now())
			if err != nil {
				t.Fatal(err)
			}
			got, err := j.Response().AppendJSON(nil)
			if diff := cmp.Diff(c.want, string(got)); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			value, err := j.Encode()
			if err != nil {
				t.Fatal(err)
			}
			stored, err := jobs.Decode("j-1", value)
			if diff := cmp.Diff(j, stored); diff != "" || err != nil {
				t.Errorf("stored and read: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	twin := func(more string) string {
		return `{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{}}` + more + `}`
	}
	for name, c := range map[string]struct {
		id, body string
		want     hub.Code
	}{
		"no body":             {"j", " ", hub.ArgumentNull},
		"no JSON":             {"j", "{", hub.ArgumentInvalid},
		"an array":            {"j", "[]", hub.ArgumentInvalid},
		"no type":             {"j", "{}", hub.ArgumentNull},
		"another type":        {"j", `{"type":"export"}`, hub.ArgumentInvalid},
		"no twin":             {"j", `{"type":"scheduleUpdateTwin"}`, hub.ArgumentNull},
		"null as twin":        {"j", `{"type":"scheduleUpdateTwin","updateTwin":null}`, hub.ArgumentNull},
		"a twin that is none": {"j", `{"type":"scheduleUpdateTwin","updateTwin":[]}`, hub.ArgumentInvalid},
		"no etag":             {"j", `{"type":"scheduleUpdateTwin","updateTwin":{"tags":{}}}`, hub.PreconditionFailed},
		"an etag":             {"j", `{"type":"scheduleUpdateTwin","updateTwin":{"etag":"AAA=","tags":{}}}`, hub.PreconditionFailed},
		"no method":           {"j", `{"type":"scheduleDeviceMethod"}`, hub.ArgumentNull},
		"no method's name":    {"j", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{}}`, hub.ArgumentNull},
		"a method's text":     {"j", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":"m"}`, hub.ArgumentInvalid},
		"another id":          {"j", twin(`,"jobId":"k"`), hub.ArgumentInvalid},
		"too far ahead":       {"j", twin(`,"startTime":"2026-01-09T03:04:06Z"`), hub.ArgumentInvalid},
		"no time":             {"j", twin(`,"startTime":"tomorrow"`), hub.ArgumentInvalid},
		"no seconds":          {"j", twin(`,"maxExecutionTimeInSeconds":-1`), hub.ArgumentInvalid},
		"too many seconds":    {"j", twin(`,"maxExecutionTimeInSeconds":2592001`), hub.ArgumentInvalid},
		"a long condition":    {"j", twin(`,"queryCondition":"` + strings.Repeat("a", 8193) + `"`), hub.ArgumentInvalid},
		"a long body":         {"j", twin(strings.Repeat(" ", 192<<10)), hub.MessageTooLarge},
		"no id":               {"", twin(""), hub.ArgumentInvalid},
		"upper case":          {"J", twin(""), hub.ArgumentInvalid},
		"a dot":               {"a.b", twin(""), hub.ArgumentInvalid},
		"a long id":           {strings.Repeat("a", 65), twin(""), hub.ArgumentInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := jobs.Parse(c.id, []byte(c.body), now())
			if got := hub.CodeOf(err); got != c.want {
				t.Errorf("%v, want code %d", err, c.want)
			}
		})
	}
	for _, id := range []string{"j", "it's-1", strings.Repeat("a", 64)} {
		if _, err := jobs.Parse(id, []byte(twin(`,"startTime":"2026-01-09T03:04:05Z"`)), now()); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// What is just allowed is accepted, and times are those of ISO 8601.
func TestAcceptedRequests(t *testing.T) {
	t.Parallel()
	const made = "2026-01-02T03:04:05.1234567Z"
	for name, c := range map[string]struct {
		more    string // members of the request
		start   string
		status  jobs.Status
		seconds int
	}{
		"nothing":            {``, made, jobs.Queued, 3600},
		"nulls":              {`,"startTime":null,"maxExecutionTimeInSeconds":null,"queryCondition":null`, made, jobs.Queued, 3600},
		"empty":              {`,"startTime":"","maxExecutionTimeInSeconds":0`, made, jobs.Queued, 3600},
		"shortest":           {`,"maxExecutionTimeInSeconds":1`, made, jobs.Queued, 1},
		"longest":            {`,"maxExecutionTimeInSeconds":2592000`, made, jobs.Queued, 2592000},
		"longest condition":  {`,"queryCondition":"` + strings.Repeat("a", jobs.MaxCondition) + `"`, made, jobs.Queued, 3600},
		"now":                {`,"startTime":"` + made + `"`, made, jobs.Queued, 3600},
		"a tick later":       {`,"startTime":"2026-01-02T03:04:05.1234568Z"`, "2026-01-02T03:04:05.1234568Z", jobs.Scheduled, 3600},
		"less than a tick":   {`,"startTime":"2026-01-02T03:04:05.12345679Z"`, made, jobs.Queued, 3600},
		"a week ahead":       {`,"startTime":"2026-01-09T03:04:05.1234567Z"`, "2026-01-09T03:04:05.1234567Z", jobs.Scheduled, 3600},
		"with a zone":        {`,"startTime":"2026-01-02T05:00:00+01:00"`, "2026-01-02T04:00:00Z", jobs.Scheduled, 3600},
		"without a zone":     {`,"startTime":"2026-01-02T05:00:00.5"`, "2026-01-02T05:00:00.5Z", jobs.Scheduled, 3600},
		"without seconds":    {`,"startTime":"2026-01-02T05:00Z"`, "2026-01-02T05:00:00Z", jobs.Scheduled, 3600},
		"as Python prints":   {`,"startTime":"2026-01-02 05:00:00.5+00:00"`, "2026-01-02T05:00:00.5Z", jobs.Scheduled, 3600},
		"a date":             {`,"startTime":"2026-01-03"`, "2026-01-03T00:00:00Z", jobs.Scheduled, 3600},
		"its own id":         {`,"jobId":"j"`, made, jobs.Queued, 3600},
		"as large as may be": {strings.Repeat(" ", jobs.MaxBody-len(`{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{}}}`)), made, jobs.Queued, 3600},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, err := jobs.Parse("j", []byte(`{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{}}`+c.more+`}`), now())
			if err != nil {
				t.Fatal(err)
			}
			if got := j.Start.Format(time.RFC3339Nano); got != c.start || j.Status != c.status || j.Seconds != c.seconds || j.Created.Format(time.RFC3339Nano) != made {
				t.Errorf("it is %s at %s for %d s, want %s at %s for %d s", j.Status, got, j.Seconds, c.status, c.start, c.seconds)
			}
		})
	}
}

func TestIDsOfJobs(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"a", "z", "0", "9", "-", "'", "az09-'", strings.Repeat("a", jobs.MaxID)} {
		if err := jobs.CheckID(id); err != nil || !jobs.ValidID(id) {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", "`", "{", "/", ":", "A", "Z", ".", "_", "ä", "a b", strings.Repeat("a", jobs.MaxID+1)} {
		if err := jobs.CheckID(id); hub.CodeOf(err) != hub.ArgumentInvalid || jobs.ValidID(id) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestEndedStatuses(t *testing.T) {
	t.Parallel()
	for status, want := range map[jobs.Status]bool{
		jobs.Scheduled: false, jobs.Queued: false, jobs.Running: false, jobs.Completed: true, jobs.Failed: true, jobs.Cancelled: true,
	} {
		if status.Ended() != want {
			t.Errorf("%s has ended: %v", status, !want)
		}
	}
}

// A stored job that says not what to do is not run.
func TestDamagedJobs(t *testing.T) {
	t.Parallel()
	for value, ok := range map[string]bool{
		`{"type":"scheduleUpdateTwin","updateTwin":{}}`:                            true,
		`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"}}`: true,
		`{"type":"scheduleDeviceMethod"}`:                                          false,
		`{"type":"export"}`:                                                        false,
		`{}`:                                                                       false,
		`{"type":7}`:                                                               false,
		``:                                                                         false,
	} {
		j, err := jobs.Decode("j", []byte(value))
		if (err == nil) != ok || err != nil && hub.CodeOf(err) != hub.ServerError || ok && j.ID != "j" {
			t.Errorf("%s: %+v, %v", value, j, err)
		}
	}
}

// What the client hears names its JSON, and nothing of Go.
func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"type":5}`: `the body is no job as JSON: "type" can't be a number`,
		`{"type":"scheduleUpdateTwin","updateTwin":5}`:                              `updateTwin is no twin: it is a number`,
		`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":[]}}`:   `cloudToDeviceMethod is no call of a method: "methodName" can't be an array`,
		`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"payload":1}, "x":}`: `the body is no job as JSON: invalid character '}' looking for beginning of value`,
	} {
		if _, err := jobs.Parse("j", []byte(body), now()); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

// Whatever comes, what is accepted can be stored, read and printed.
func FuzzParse(f *testing.F) {
	f.Add("j", []byte(twinBody))
	f.Add("j", []byte(methodBody))
	f.Add("it's", []byte(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":"\u2028<"},"startTime":"2026-01-02"}`))
	f.Fuzz(func(t *testing.T, id string, body []byte) {
		j, err := jobs.Parse(id, body, now())
		if err != nil {
			if hub.CodeOf(err) == hub.ServerError {
				t.Errorf("a request is refused with %v", err)
			}
			return
		}
		value, err := j.Encode()
		if err != nil {
			t.Fatal(err)
		}
		stored, err := jobs.Decode(id, value)
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		a, errA := j.Response().AppendJSON(nil)
		b, errB := stored.Response().AppendJSON(nil)
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("%s (%v) is read as %s (%v)", a, errA, b, errB)
		}
	})
}

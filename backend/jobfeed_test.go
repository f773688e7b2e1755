package backend

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/jobs"
	"github.com/hubgate/hubgate/query"
)

// jobRow is the row of a device as a bucket has it.
func jobRow(tb testing.TB, n int, payload string) written {
	tb.Helper()
	now := time.Now()
	r := jobs.Row{
		For: device(n), Job: "j", Type: jobs.InvokeMethod, Status: jobs.RowCompleted, Created: now, Updated: now,
		Answer: &jobs.Answer{Status: 200, Payload: json.RawMessage(payload)},
	}
	value, err := r.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	return written{key: subject.JobRowKey("j", r.For), value: value}
}

// The query of Microsoft's page "Queries for IoT Hub jobs" finds what it says.
func TestJobsSinceATime(t *testing.T) {
	t.Parallel()
	r := &jobReader{rows: newJobRows()}
	r.visit(jobRow(t, 1, "null"))
	for text, want := range map[string]int{
		"devices.jobs.deviceId = 'dev-1' AND devices.jobs.createdTimeUtc > '2016-09-01'": 1,
		"devices.jobs.createdDateTimeUtc > '2016-09-01'":                                 1,
		"devices.jobs.createdTimeUtc > '9999'":                                           0,
	} {
		q, err := query.Parse("SELECT * FROM devices.jobs WHERE " + text)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.rows.Count(testContext(t), q); err != nil || n != want {
			t.Errorf("%s: %d rows, %v, want %d", text, n, err, want)
		}
	}
}

// Who watches the rows of jobs goes on when the bucket is another one, and all is
// read again.
func TestWatchOfJobsSurvivesAnotherBucket(t *testing.T) {
	t.Parallel()
	r := &jobReader{rows: newJobRows()}
	tell := func(numbers ...int) {
		r.begin()
		for _, n := range numbers {
			r.visit(jobRow(t, n, "null"))
		}
		r.end()
	}
	tell(1, 2)
	q, err := query.Parse("SELECT deviceId FROM devices.jobs")
	if err != nil {
		t.Fatal(err)
	}
	f := &Fleet{jobs: r.rows}
	ctx, events := testContext(t), make(chan query.Event, 10)
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- f.Watch(ctx, q.String(), func(e query.Event) { events <- e })
	}()
	defer func() {
		stop()
		<-ended
	}()
	next := func() query.Event {
		t.Helper()
		select {
		case e := <-events:
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is told")
			return query.Event{}
		}
	}
	for next().Kind != query.Loaded {
	}
	tell(2, 3)
	seen := map[query.EventKind]string{}
	for len(seen) < 2 {
		if e := next(); e.Kind != query.Changed { // dev-2 is told again: its times are others
			seen[e.Kind] = e.Key
		}
	}
	if seen[query.Added] != jobRow(t, 3, "null").key || seen[query.Removed] != jobRow(t, 1, "null").key {
		t.Errorf("told is %v, want that dev-3 is added and dev-1 removed", seen)
	}
}

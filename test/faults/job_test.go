package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	backendclient "github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/jobs"
	"github.com/hubgate/hubgate/test/hubtest"
)

// back is a back-end app on the gateway that runs now.
func back(t *testing.T, g *hubtest.Gateway) *backendclient.Client {
	t.Helper()
	c, err := backendclient.New(g.NATS, backendclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// killAmid kills the gateway while a job runs, each time that one more part of its
// devices is done with, and returns the job when it has ended.
func killAmid(t *testing.T, l *lives, id string, kills int) jobs.Response {
	t.Helper()
	done := func(r jobs.Response) int { return r.Statistics.Succeeded + r.Statistics.Failed }
	for n := 1; ; n++ {
		var last jobs.Response
		var err error
		ok := eventually(func() bool {
			last, err = back(t, l.g).Jobs().Get(t.Context(), id)
			return err == nil && (last.Status.Ended() || n <= kills && done(last) >= n*last.Statistics.Devices/(kills+1) && done(last) > 0)
		})
		if !ok {
			t.Fatalf("the job %s stands still: %+v, %v", id, last, err)
		}
		if last.Status.Ended() {
			if n <= kills {
				t.Errorf("the job was done after %d kills, want %d", n-1, kills)
			}
			return last
		}
		t.Logf("kill %d at %+v", n, last.Statistics)
		l.interrupt(func() { l.g.Restart(t, syscall.SIGKILL) })
	}
}

// rowsOf reads what the bucket has of a job.
func rowsOf(t *testing.T, g *hubtest.Gateway, id string) map[string]jobs.Row {
	t.Helper()
	all := map[string]jobs.Row{}
	g.Each(t, "KV_hub_jobrows", "$KV.hub_jobrows."+id+".>", func(m jetstream.Msg) {
		r, err := jobs.DecodeRow(m.Data())
		if err != nil {
			t.Errorf("%s: %v", m.Subject(), err)
		}
		all[r.For.String()] = r
	})
	return all
}

// tallyOf counts rows.
func tallyOf(t *testing.T, rows map[string]jobs.Row) (s jobs.Statistics) {
	t.Helper()
	for id, r := range rows {
		s.Devices++
		switch r.Status {
		case jobs.RowCompleted:
			s.Succeeded++
		case jobs.RowFailed, jobs.RowCanceled:
			s.Failed++
		case jobs.RowPending, jobs.RowRunning:
			t.Errorf("the row of %s is still %s", id, r.Status)
		}
	}
	return s
}

// TestJobKilled kills the gateway again and again while it writes the twins of 300
// devices: each of them has the patch in the end, and is counted once.
func TestJobKilled(t *testing.T) {
	const devices = 300
	g := start(t, hubtest.Options{Env: []string{"HUBGATE_JOBS_DEVICE_RATE=40/s"}})
	for i := range devices {
		id := hub.Identity{Device: fmt.Sprintf("many-%03d", i)}
		if _, err := back(t, g).Registry().Create(t.Context(), identity.Record{ID: id, Status: identity.StatusEnabled, Authentication: identity.Authentication{Type: identity.AuthSAS}}); err != nil {
			t.Fatal(err)
		}
	}
	request := jobs.Request{ID: "everybody", Body: []byte(`{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"campaign":{"n":1}}},"queryCondition":"STARTSWITH(deviceId, 'many-')"}`)}
	if _, err := back(t, g).Jobs().Put(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	r := killAmid(t, newLives(g), "everybody", 2)
	if want := (jobs.Statistics{Devices: devices, Succeeded: devices}); r.Status != jobs.Completed || r.Statistics != want {
		t.Errorf("the job is %s with %+v, want %s with %+v", r.Status, r.Statistics, jobs.Completed, want)
	}
	if got := tallyOf(t, rowsOf(t, g, "everybody")); got != r.Statistics {
		t.Errorf("the rows are %+v, the job says %+v", got, r.Statistics)
	}
	patched := 0
	for i := range devices {
		id := hub.Identity{Device: fmt.Sprintf("many-%03d", i)}
		twin, err := back(t, g).Twins().Get(t.Context(), id)
		if err != nil || !strings.Contains(string(twin.AppendJSON(nil)), `"tags":{"campaign":{"n":1}}`) {
			t.Errorf("the twin of %s is %s, %v", id, twin.AppendJSON(nil), err)
			continue
		}
		patched++
	}
	t.Logf("%d twins have the patch", patched)
}

// TestJobOfMethodsKilled does the same to a job that calls a method: no device is
// called twice, and what the job says of each is what it knows.
func TestJobOfMethodsKilled(t *testing.T) {
	const body = `{"campaign":2}`
	g := start(t, hubtest.Options{Env: []string{"HUBGATE_JOBS_DEVICE_RATE=6/s", "HUBGATE_JOBS_MAX_IN_FLIGHT=10"}})
	all, _ := newCallees(t, g, 60)
	l := newLives(g)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, d := range all {
		d.warm = nil
		wg.Go(func() { d.run(ctx, l) })
	}
	request := jobs.Request{ID: "calls", Body: []byte(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"work","payload":` + body + `,"connectTimeoutInSeconds":30,"responseTimeoutInSeconds":10},"queryCondition":"STARTSWITH(deviceId, 'callee-')"}`)}
	if _, err := back(t, g).Jobs().Put(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	r := killAmid(t, l, "calls", 2)
	rows := rowsOf(t, g, "calls")
	stop()
	wg.Wait()
	if got := tallyOf(t, rows); r.Status != jobs.Completed || got != r.Statistics || got.Devices != len(all) {
		t.Errorf("the job is %s with %+v, the rows are %+v of %d devices", r.Status, r.Statistics, got, len(all))
	}
	unknown := 0
	for _, d := range all {
		row := rows[d.id.String()]
		called, answered := d.called[body], d.answered[body]
		if called > 1 {
			t.Errorf("%s was called %d times", d.id, called)
		}
		if row.Status == jobs.RowCompleted && answered != 1 {
			t.Errorf("the row of %s says %+v, and it has answered %d times", d.id, row.Answer, answered)
		}
		if row.Status == jobs.RowFailed {
			unknown++
			if !strings.Contains(row.Error.Description, "nobody knows") && called > 0 {
				t.Errorf("the row of %s says %s %s, and it was called", d.id, row.Error.Code, row.Error.Description)
			}
		}
	}
	t.Logf("%+v, of which %d devices nobody knows about; took %v", r.Statistics, unknown, r.End.Sub(r.Created.Time).Round(time.Second))
}

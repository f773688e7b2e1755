package backendtest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

// JobStore is what keeps jobs and their rows.
type JobStore interface {
	jobs.Store
	jobs.Rows
}

// Jobs tests a jobs.Store with its jobs.Rows. open returns an empty one; it is
// called once for each subtest.
func Jobs(t *testing.T, open func(t *testing.T) JobStore) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, JobStore){
		"a job is stored":                        jobStored,
		"a job is made once":                     jobOnce,
		"a job is written by compare-and-set":    jobStale,
		"a job is removed":                       jobRemoved,
		"jobs are watched":                       jobsWatched,
		"rows are stored":                        rowsStored,
		"rows come in pages":                     rowsPaged,
		"rows that are written again come last":  rowsMoved,
		"rows are deleted":                       rowsDeleted,
		"who has lost the job writes nothing":    rowsFenced,
		"the fence moves from where it was":      holdStale,
		"of many who want to hold a job one can": holdRace,
		"a job that is dropped can be held":      holdDropped,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func jobNamed(id string) jobs.Job {
	when := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	return jobs.Job{
		ID: id, Type: jobs.UpdateTwin, Condition: "tags.a < 'ö' AND tags.b > 1", Twin: []byte(`{"etag":"*","tags":{"a":1.50e+2,"b":"<&>"}}`),
		Created: when, Start: when.Add(time.Hour), Seconds: 60, By: "somebody", Status: jobs.Scheduled,
	}
}

func wantCode(t *testing.T, what string, err error, want hub.Code) {
	t.Helper()
	if got := hub.CodeOf(err); got != want {
		t.Errorf("%s: %v, want code %d", what, err, want)
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func jobStored(t *testing.T, s JobStore) {
	for _, want := range []jobs.Job{
		jobNamed("job-1"), jobNamed("it's"),
		{ID: "m", Type: jobs.InvokeMethod, Method: &jobs.Method{Name: "reboot", Payload: []byte(`{"a":"<"}`), ResponseTimeout: 10, ConnectTimeout: 5}, Status: jobs.Queued, Seconds: 1},
	} {
		_, err := s.Get(t.Context(), want.ID)
		wantCode(t, "get what is not there", err, hub.JobNotFound)
		must(t, "create", s.Create(t.Context(), &want))
		got, err := s.Get(t.Context(), want.ID)
		must(t, "get", err)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || got.Revision == 0 {
			t.Errorf("the job has changed (-want +got), revision %d:\n%s", got.Revision, diff)
		}
	}
}

func jobOnce(t *testing.T, s JobStore) {
	first, second := jobNamed("j"), jobNamed("j")
	must(t, "create", s.Create(t.Context(), &first))
	second.By = "another"
	wantCode(t, "create again", s.Create(t.Context(), &second), hub.JobAlreadyExists)
	got, err := s.Get(t.Context(), "j")
	must(t, "get", err)
	if got.By != first.By {
		t.Errorf("the job is %q's now", got.By)
	}
}

func jobStale(t *testing.T, s JobStore) {
	j := jobNamed("j")
	must(t, "create", s.Create(t.Context(), &j))
	old := j
	j.Status = jobs.Running
	must(t, "update", s.Update(t.Context(), &j))
	old.Status = jobs.Cancelled
	wantCode(t, "update an old one", s.Update(t.Context(), &old), hub.PreconditionFailed)
	wantCode(t, "remove an old one", s.Remove(t.Context(), old), hub.PreconditionFailed)
	got, err := s.Get(t.Context(), "j")
	must(t, "get", err)
	if got.Status != jobs.Running || got.Revision != j.Revision {
		t.Errorf("it is %s at %d, want %s at %d", got.Status, got.Revision, jobs.Running, j.Revision)
	}
}

func jobRemoved(t *testing.T, s JobStore) {
	j := jobNamed("j")
	must(t, "create", s.Create(t.Context(), &j))
	must(t, "remove", s.Remove(t.Context(), j))
	_, err := s.Get(t.Context(), "j")
	wantCode(t, "get", err, hub.JobNotFound)
	again := jobNamed("j")
	must(t, "create again", s.Create(t.Context(), &again))
}

// told writes down what a watch tells.
type told chan string

func (w told) Loading()          { w <- "loading" }
func (w told) Stored(j jobs.Job) { w <- j.ID + " " + string(j.Status) }
func (w told) Removed(id string) { w <- id + " removed" }
func (w told) Loaded()           { w <- "loaded" }

func jobsWatched(t *testing.T, s JobStore) {
	first := jobNamed("first")
	must(t, "create", s.Create(t.Context(), &first))
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(told, 100), make(chan error, 1)
	go func() { ended <- s.Watch(ctx, heard) }()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-heard:
			if got != want {
				t.Fatalf("told %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing is told, want %q", want)
		}
	}
	expect("loading")
	expect("first scheduled")
	expect("loaded")
	second := jobNamed("it's")
	must(t, "create", s.Create(t.Context(), &second))
	expect("it's scheduled")
	second.Status = jobs.Running
	must(t, "update", s.Update(t.Context(), &second))
	expect("it's running")
	must(t, "remove", s.Remove(t.Context(), second))
	expect("it's removed")
	cancel()
	must(t, "end of the watch", <-ended)
}

func hold(t *testing.T, s JobStore, job string) jobs.Hold {
	t.Helper()
	m, err := s.Mark(t.Context(), job)
	must(t, "mark", err)
	h, err := s.Hold(t.Context(), job, m)
	must(t, "hold", err)
	return h
}

func rowOf(job string, id hub.Identity) jobs.Row {
	when := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	return jobs.Row{For: id, Job: job, Type: jobs.InvokeMethod, Status: jobs.RowPending, Created: when, Updated: when}
}

// all reads all pages.
func all(t *testing.T, s JobStore, job string) []jobs.Row {
	t.Helper()
	var all []jobs.Row
	for after := uint64(0); ; {
		rows, next, err := s.Page(t.Context(), job, after)
		must(t, "page", err)
		all = append(all, rows...)
		if next == 0 {
			return all
		}
		if next <= after {
			t.Fatalf("the page after %d leads to %d", after, next)
		}
		after = next
	}
}

func rowsStored(t *testing.T, s JobStore) {
	h := hold(t, s, "it's")
	var want []jobs.Row
	for _, id := range []hub.Identity{{Device: "d"}, {Device: "a.b*50%"}, {Device: "d", Module: "m"}, {Device: "d", Module: "$edgeAgent"}} {
		r := rowOf("it's", id)
		r.Status, r.End = jobs.RowCompleted, r.Updated.Add(time.Second)
		r.Answer = &jobs.Answer{Status: 200, Payload: []byte(`{"a":"<b>"}`)}
		must(t, "put", h.Put(t.Context(), &r))
		want = append(want, r)
	}
	failed := rowOf("it's", hub.Identity{Device: "failed"})
	failed.Status, failed.Error = jobs.RowFailed, &jobs.RowError{Code: "404103", Description: "it's away"}
	must(t, "put", h.Put(t.Context(), &failed))
	if diff := cmp.Diff(append(want, failed), all(t, s, "it's"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the rows have changed (-want +got):\n%s", diff)
	}
	if rows := all(t, s, "it"); len(rows) > 0 {
		t.Errorf("another job has the rows %v", rows)
	}
}

func rowsPaged(t *testing.T, s JobStore) {
	const many = 2500
	h := hold(t, s, "j")
	for i := range many {
		r := rowOf("j", hub.Identity{Device: strconv.Itoa(i)})
		must(t, "put", h.Put(t.Context(), &r))
	}
	rows := all(t, s, "j")
	for i, r := range rows {
		if r.For.Device != strconv.Itoa(i) {
			t.Fatalf("row %d is %s", i, r.For)
		}
	}
	if len(rows) != many {
		t.Errorf("there are %d rows, want %d", len(rows), many)
	}
}

func rowsMoved(t *testing.T, s JobStore) {
	h := hold(t, s, "j")
	var first jobs.Row
	for i := range 3 {
		r := rowOf("j", hub.Identity{Device: strconv.Itoa(i)})
		must(t, "put", h.Put(t.Context(), &r))
		if i == 0 {
			first = r
		}
	}
	before := first.Revision
	first.Status = jobs.RowRunning
	must(t, "put again", h.Put(t.Context(), &first))
	var order []string
	for _, r := range all(t, s, "j") {
		order = append(order, r.For.Device+" "+string(r.Status))
	}
	if want := []string{"1 pending", "2 pending", "0 running"}; !slices.Equal(order, want) || first.Revision <= before {
		t.Errorf("the rows are %q, want %q; the revision went from %d to %d", order, want, before, first.Revision)
	}
}

func rowsDeleted(t *testing.T, s JobStore) {
	h := hold(t, s, "j")
	for i := range 3 {
		r := rowOf("j", hub.Identity{Device: strconv.Itoa(i)})
		must(t, "put", h.Put(t.Context(), &r))
		must(t, "delete", h.Delete(t.Context(), r))
	}
	if rows := all(t, s, "j"); len(rows) > 0 {
		t.Errorf("there are still rows: %v", rows)
	}
	r := rowOf("j", hub.Identity{Device: "1"})
	must(t, "put what was deleted", h.Put(t.Context(), &r))
	if rows := all(t, s, "j"); len(rows) != 1 {
		t.Errorf("there are %d rows, want 1", len(rows))
	}
}

func rowsFenced(t *testing.T, s JobStore) {
	old := hold(t, s, "j")
	r := rowOf("j", hub.Identity{Device: "d"})
	must(t, "put", old.Put(t.Context(), &r))
	other := hold(t, s, "another")
	fresh := hold(t, s, "j")
	for range 40 { // whichever way a write takes
		stale := r
		stale.Status = jobs.RowFailed
		wantCode(t, "put by who has lost the job", old.Put(t.Context(), &stale), hub.PreconditionFailed)
		added := rowOf("j", hub.Identity{Device: "new"})
		wantCode(t, "put of a new row by who has lost the job", old.Put(t.Context(), &added), hub.PreconditionFailed)
		wantCode(t, "delete by who has lost the job", old.Delete(t.Context(), r), hub.PreconditionFailed)
	}
	wantCode(t, "drop by who has lost the job", old.Drop(t.Context()), hub.PreconditionFailed)
	if rows := all(t, s, "j"); len(rows) != 1 || rows[0].Status != jobs.RowPending {
		t.Errorf("the rows are %v", rows)
	}
	r.Status = jobs.RowCompleted
	must(t, "put by who has the job", fresh.Put(t.Context(), &r))
	o := rowOf("another", hub.Identity{Device: "d"})
	must(t, "put of another job", other.Put(t.Context(), &o))
}

func holdStale(t *testing.T, s JobStore) {
	m, err := s.Mark(t.Context(), "j")
	must(t, "mark", err)
	holder := hold(t, s, "j")
	_, err = s.Hold(t.Context(), "j", m)
	wantCode(t, "hold from an old mark", err, hub.PreconditionFailed)
	r := rowOf("j", hub.Identity{Device: "d"})
	must(t, "put by the holder", holder.Put(t.Context(), &r))
}

func holdRace(t *testing.T, s JobStore) {
	for round := range 10 {
		job := fmt.Sprintf("j%d", round)
		m, err := s.Mark(t.Context(), job)
		must(t, "mark", err)
		results := make(chan jobs.Hold, 4)
		for range 4 {
			go func() {
				h, err := s.Hold(t.Context(), job, m)
				if err != nil {
					h = nil
				}
				results <- h
			}()
		}
		var holders []jobs.Hold
		for range 4 {
			if h := <-results; h != nil {
				holders = append(holders, h)
			}
		}
		if len(holders) > 1 {
			t.Errorf("%d hold the job from one mark, want at most one", len(holders))
		}
		r := rowOf(job, hub.Identity{Device: "d"})
		last := hold(t, s, job)
		must(t, "put by the last one", last.Put(t.Context(), &r))
		for _, h := range holders {
			wantCode(t, "put by an earlier one", h.Put(t.Context(), &r), hub.PreconditionFailed)
		}
	}
}

func holdDropped(t *testing.T, s JobStore) {
	h := hold(t, s, "j")
	r := rowOf("j", hub.Identity{Device: "d"})
	must(t, "put", h.Put(t.Context(), &r))
	must(t, "delete", h.Delete(t.Context(), r))
	must(t, "drop", h.Drop(t.Context()))
	wantCode(t, "put after the drop", h.Put(t.Context(), &r), hub.PreconditionFailed)
	again := hold(t, s, "j")
	must(t, "put", again.Put(t.Context(), &r))
	wantCode(t, "put after the drop", h.Put(t.Context(), &r), hub.PreconditionFailed)
}

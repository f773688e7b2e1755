package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

// alone runs a test with one node that has no faults, at a time that stands still
// while nothing happens.
func alone(t *testing.T, devices int, test func(t *testing.T, w *world, n *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, devices, 1)
		n := w.node(0)
		test(t, w, n)
		n.stop()
		<-n.done
	})
}

func (w *world) ask(n *node, id, body string) jobs.Job {
	w.t.Helper()
	j, err := n.jobs.Put(w.t.Context(), jobs.Request{ID: id, Body: []byte(body)})
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// called is how many devices were called.
func (f *fleet) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

func (w *world) wantStatus(id string, want jobs.Status, sentence string) {
	w.t.Helper()
	if j := w.job(id); j.Status != want || !strings.Contains(j.Failure, sentence) {
		w.t.Errorf("the job is %s (%q), want %s (%q)", j.Status, j.Failure, want, sentence)
	}
}

func (w *world) wantStatistics(id string, want jobs.Statistics) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.job(id).Statistics); diff != "" {
		w.t.Errorf("the statistics are others (-want +got):\n%s", diff)
	}
}

func TestABadConditionFails(t *testing.T) {
	t.Parallel()
	alone(t, 3, func(t *testing.T, w *world, n *node) {
		w.ask(n, "j", strings.Replace(twinBody, `"*","maxE`, `"bad","maxE`, 1))
		w.settled("j", time.Minute)
		w.wantStatus("j", jobs.Failed, "line 1, column 1")
		w.wantStatistics("j", jobs.Statistics{})
	})
}

func TestAJobWithoutDevicesCompletes(t *testing.T) {
	t.Parallel()
	alone(t, 0, func(t *testing.T, w *world, n *node) {
		w.ask(n, "j", methodBody)
		w.settled("j", time.Minute)
		w.wantStatus("j", jobs.Completed, "")
	})
}

func TestAJobWaitsForItsTime(t *testing.T) {
	t.Parallel()
	alone(t, 3, func(t *testing.T, w *world, n *node) {
		start := time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)
		j := w.ask(n, "j", strings.Replace(twinBody, "{", `{"startTime":"`+start+`",`, 1))
		if j.Status != jobs.Scheduled {
			t.Errorf("it is %s", j.Status)
		}
		wait(t.Context(), 2*time.Hour-time.Minute)
		w.wantStatus("j", jobs.Scheduled, "")
		wait(t.Context(), 3*time.Minute)
		w.wantStatus("j", jobs.Completed, "")
		w.wantStatistics("j", jobs.Statistics{Devices: 3, Succeeded: 3})
	})
}

func TestADeviceThatIsAwayFails(t *testing.T) {
	t.Parallel()
	alone(t, 2, func(t *testing.T, w *world, n *node) {
		away := w.fleet.devices[1]
		w.fleet.offline[away] = true
		w.ask(n, "j", methodBody)
		w.check("j", w.settled("j", time.Minute))
		w.wantStatistics("j", jobs.Statistics{Devices: 2, Succeeded: 1, Failed: 1})
		if got, want := w.hub.rows["j"][away].Error, (&jobs.RowError{Code: "404103", Description: "dev-1 is away"}); !cmp.Equal(got, want) {
			t.Errorf("the error is %+v, want %+v", got, want)
		}
		if a := w.hub.rows["j"][w.fleet.devices[0]].Answer; a == nil || a.Status != 200 || string(a.Payload) != `{"ok":true}` {
			t.Errorf("the answer is %+v", a)
		}
	})
}

func TestACancelledJobBeginsWithNoMoreDevices(t *testing.T) {
	t.Parallel()
	alone(t, 50, func(t *testing.T, w *world, n *node) {
		w.fleet.longest = 10 * time.Second
		w.ask(n, "j", methodBody)
		wait(t.Context(), 8*time.Second)
		j, err := n.jobs.Cancel(t.Context(), "j")
		if err != nil || j.Status != jobs.Cancelled || j.Settled {
			t.Fatalf("cancelled: %s, settled %v, %v", j.Status, j.Settled, err)
		}
		_, err = n.jobs.Cancel(t.Context(), "j")
		if hub.CodeOf(err) != hub.StateForbids {
			t.Errorf("cancelled again: %v", err)
		}
		calls := w.fleet.called()
		done := w.settled("j", time.Minute)
		w.check("j", done)
		w.wantStatus("j", jobs.Cancelled, "")
		if s := done.Statistics; s.Succeeded == 0 || s.Failed == 0 || s.Devices != 50 || w.fleet.called() > calls {
			t.Errorf("%+v; %d devices were called, and %d when it was cancelled", s, w.fleet.called(), calls)
		}
	})
}

func TestAJobThatWaitsIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	alone(t, 3, func(t *testing.T, w *world, n *node) {
		start := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		w.ask(n, "j", strings.Replace(twinBody, "{", `{"startTime":"`+start+`",`, 1))
		if j, err := n.jobs.Cancel(t.Context(), "j"); err != nil || !j.Settled {
			t.Errorf("cancelled: %+v, %v", j, err)
		}
		wait(t.Context(), 2*time.Hour)
		w.wantStatus("j", jobs.Cancelled, "")
		if len(w.fleet.patched) > 0 {
			t.Errorf("%d twins were written", len(w.fleet.patched))
		}
		_, err := n.jobs.Cancel(t.Context(), "unknown")
		if hub.CodeOf(err) != hub.JobNotFound {
			t.Errorf("cancel what is not there: %v", err)
		}
	})
}

func TestTheTimeOfAJobIsOver(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"twin": twinBody, "method": methodBody} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone(t, 50, func(t *testing.T, w *world, n *node) {
				w.fleet.longest = 10 * time.Second
				w.ask(n, "j", strings.Replace(body, "86400", "12", 1))
				begun := time.Now()
				w.check("j", w.settled("j", time.Minute))
				w.wantStatus("j", jobs.Failed, "its time of 12s was over")
				if took := time.Since(begun); took > 16*time.Second {
					t.Errorf("it took %v", took)
				}
				if s := w.job("j").Statistics; s.Succeeded == 0 || s.Failed == 0 || s.Devices != 50 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// The time may also be over when there is no device left to begin with.
func TestTheTimeOfAJobIsOverInMidCall(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"twin": twinBody, "method": methodBody} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone(t, 2, func(t *testing.T, w *world, n *node) {
				w.fleet.longest = 1000 * time.Hour
				w.ask(n, "j", strings.Replace(body, "86400", "12", 1))
				w.check("j", w.settled("j", time.Minute))
				w.wantStatus("j", jobs.Failed, "its time of 12s was over")
				w.wantStatistics("j", jobs.Statistics{Devices: 2, Failed: 2})
			})
		})
	}
}

// A node that stops leaves its jobs to others at once, and unfinished.
func TestAStoppedNodeHandsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40, 1)
		w.fleet.longest = 2 * time.Second
		first := w.node(0)
		w.ask(first, "j", methodBody)
		wait(t.Context(), 4*time.Second)
		first.stop()
		<-first.done
		if j := w.job("j"); j.Claim != "" || j.Settled || j.Status != jobs.Running {
			t.Errorf("it is left %s, settled %v, claimed by %q", j.Status, j.Settled, j.Claim)
		}
		called := w.fleet.called()
		second := w.node(0)
		wait(t.Context(), time.Second)
		if w.fleet.called() == called {
			t.Error("nobody has taken the job")
		}
		w.check("j", w.settled("j", time.Minute))
		w.wantStatistics("j", jobs.Statistics{Devices: 40, Succeeded: 40})
		second.stop()
		<-second.done
	})
}

// A node that dies says nothing: somebody else takes its job when he has not heard
// of it for a while, and at once goes on.
func TestADeadNodeIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40, 1)
		w.fleet.longest = 2 * time.Second
		first := w.node(0)
		w.ask(first, "j", twinBody)
		wait(t.Context(), 4*time.Second)
		second := w.node(0)
		wait(t.Context(), time.Second)
		first.kill()
		<-first.done
		w.check("j", w.settled("j", 30*time.Second))
		w.wantStatistics("j", jobs.Statistics{Devices: 40, Succeeded: 40})
		second.stop()
		<-second.done
	})
}

// A node that stops while a device does not answer says that nobody knows.
func TestAStoppedNodeDoesNotWaitForDevices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 1)
		w.fleet.longest = time.Hour
		n := w.node(0)
		w.ask(n, "j", methodBody)
		wait(t.Context(), time.Second)
		begun := time.Now()
		n.stop()
		<-n.done
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if r := w.hub.rows["j"][w.fleet.devices[0]]; r.Status != jobs.RowFailed || !strings.Contains(r.Error.Description, "nobody knows") {
			t.Errorf("the row is %s, %+v", r.Status, r.Error)
		}
	})
}

func TestTheRateIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 100, 1)
		w.limit.Rate = 10
		n := w.node(0)
		w.ask(n, "j", twinBody)
		begun := time.Now()
		w.settled("j", time.Minute)
		if took := time.Since(begun); took < 9*time.Second || took > 15*time.Second {
			t.Errorf("100 devices at 10 a second took %v", took)
		}
		n.stop()
		<-n.done
	})
}

func TestActiveJobsAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, 1)
		w.limit = jobs.Limits{Active: 2, InFlight: 1}
		w.fleet.longest = 10 * time.Second
		n := w.node(0)
		soon := time.Now().Add(5 * time.Second).UTC().Format(time.RFC3339)
		w.ask(n, "later", strings.Replace(twinBody, "{", `{"startTime":"`+soon+`",`, 1))
		w.ask(n, "a", twinBody)
		w.ask(n, "b", twinBody)
		_, err := n.jobs.Put(t.Context(), jobs.Request{ID: "c", Body: []byte(twinBody)})
		if hub.CodeOf(err) != hub.TooManyJobs {
			t.Errorf("a third job: %v", err)
		}
		_, err = n.jobs.Put(t.Context(), jobs.Request{ID: "a", Body: []byte(twinBody)})
		if hub.CodeOf(err) != hub.JobAlreadyExists {
			t.Errorf("the same job: %v", err)
		}
		wait(t.Context(), 20*time.Second)
		if j := w.job("later"); !j.Begun.IsZero() {
			t.Error("three jobs run")
		}
		for _, id := range []string{"a", "b", "later"} {
			w.settled(id, time.Hour)
			w.wantStatus(id, jobs.Completed, "")
		}
		n.stop()
		<-n.done
	})
}

func TestHistoryIsForgotten(t *testing.T) {
	t.Parallel()
	alone(t, 30, func(t *testing.T, w *world, n *node) {
		w.ask(n, "j", twinBody)
		w.settled("j", time.Minute)
		age := func(by time.Duration) {
			w.hub.mu.Lock()
			j, err := w.hub.read("j")
			if err != nil {
				t.Error(err)
			}
			j.End = j.End.Add(-by)
			w.hub.write(&j)
			w.hub.mu.Unlock()
			wait(t.Context(), 2*time.Minute)
		}
		age(29 * 24 * time.Hour)
		w.wantStatus("j", jobs.Completed, "")
		age(25 * time.Hour)
		w.hub.mu.Lock()
		all, rows := len(w.hub.jobs), len(w.hub.rows["j"])
		w.hub.mu.Unlock()
		if all+rows > 0 {
			t.Errorf("after 30 days there are %d jobs and %d rows", all, rows)
		}
		w.ask(n, "j", twinBody)
		w.settled("j", time.Minute)
		w.wantStatistics("j", jobs.Statistics{Devices: 30, Succeeded: 30})
	})
}

func TestJobsAreListed(t *testing.T) {
	t.Parallel()
	alone(t, 1, func(t *testing.T, w *world, n *node) {
		var want []string
		for i := range 7 {
			id, body := fmt.Sprintf("j%d", i), twinBody
			if i == 4 {
				body = methodBody
			}
			w.ask(n, id, body)
			w.settled(id, time.Minute)
			want = append(want, id)
		}
		list := func(q jobs.Query) (ids []string) {
			t.Helper()
			for {
				page, next, err := n.jobs.List(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, j := range page {
					ids = append(ids, j.ID)
				}
				if q.After = next; next == "" {
					return ids
				}
			}
		}
		for name, c := range map[string]struct {
			query jobs.Query
			want  []string
		}{
			"all": {jobs.Query{}, want}, "pages": {jobs.Query{Limit: 2}, want},
			"type":   {jobs.Query{Type: "SCHEDULEDEVICEMETHOD"}, []string{"j4"}},
			"status": {jobs.Query{Status: "Completed", Limit: 3}, want}, "none": {jobs.Query{Status: "enqueued"}, nil},
		} {
			if diff := cmp.Diff(c.want, list(c.query)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		for _, q := range []jobs.Query{{Type: "nonsense"}, {Status: "done"}, {After: "x"}} {
			if _, _, err := n.jobs.List(context.Background(), q); hub.CodeOf(err) != hub.ArgumentInvalid {
				t.Errorf("list %+v: %v", q, err)
			}
		}
	})
}

// What somebody was told of a cancelled job stays true, whatever goes wrong then.
func TestACancelledJobStaysCancelled(t *testing.T) {
	t.Parallel()
	alone(t, 50, func(t *testing.T, w *world, n *node) {
		w.fleet.longest = 10 * time.Second
		w.ask(n, "j", methodBody)
		wait(t.Context(), 8*time.Second)
		n.link.fill()
		cancelled, err := n.jobs.Cancel(t.Context(), "j")
		if err != nil {
			t.Fatal(err)
		}
		done := w.settled("j", time.Minute)
		if done.Status != jobs.Cancelled || !done.End.Equal(cancelled.End) || done.Failure == "" {
			t.Errorf("cancelled at %v, and then %s at %v: %q", cancelled.End, done.Status, done.End, done.Failure)
		}
	})
}

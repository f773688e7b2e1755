package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// jobID makes an id of a job from the name of a test.
func jobID(t *testing.T, suffix string) string {
	return strings.ReplaceAll(strings.ToLower(deviceName(t)), "_", "-") + suffix
}

func jobEnded(o fields) bool {
	return slices.Contains([]string{"completed", "failed", "cancelled"}, o.text("status"))
}

// twinJobs writes the twins of a fleet by a job, and keeps others from running.
func twinJobs(t *testing.T, g *gateway, h *hub) {
	fleet := deviceName(t)
	ids := h.fleet(fleet, 3)
	d := watching(g, h, h.one("get", naming(ids[0])), nil)
	id := jobID(t, "")
	job := args{"jobId": id, "condition": "tags.fleet = '" + fleet + "'", "patch": fields{
		"etag": "*", "tags": fields{"by": "job"}, "properties": fields{"desired": fields{"rate": 5}},
	}}
	begun := h.one("schedule", job)
	if begun.text("jobId") != id || begun.text("type") != "scheduleUpdateTwin" {
		t.Errorf("the new job is %v", begun)
	}
	ended := h.until("end of the job", "job", args{"jobId": id}, jobEnded)
	wantCounts(t, ended, "completed", 3, 0)
	d.await("notification of the job's write", func(l line) bool { return l.Event == "desired" && l.Data["rate"] == 5.0 })
	for _, id := range ids {
		if got := g.mustTwin("get", id, "").Desired["rate"]; got != 5.0 {
			t.Errorf("%s: rate = %v by NATS, want 5", id, got)
		}
	}
	h.refused("schedule", job, 409, "JobAlreadyExists")
	finished := h.raisesAs(405, map[string]string{})
	finished.refused("cancelJob", args{"jobId": id}, 405, "OperationNotAllowedInCurrentState")
	rows := h.rows("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '"+id+"'", "DeviceJob")
	if got := deviceIDs(rows); len(got) != 3 || rows[0].text("status") != "completed" {
		t.Errorf("rows of the job: %v", rows)
	}
	cancelled(t, g, h, job)
	if unknown := h.raisesAs(404, map[string]string{"node": "Error"}); h.name != "java" { // which can't read a job without an id
		unknown.refused("cancelJob", args{"jobId": id + "-none"}, 404, "JobNotFound")
		if got := h.one("job", args{"jobId": id + "-none"}); got.text("status") != "unknown" || got.text("type") != "unknown" {
			t.Errorf("a job that is not there is %v, want unknown", got)
		}
	}
	d.do("close", "a", nil)
}

// cancelled takes back a job before its time.
func cancelled(t *testing.T, g *gateway, h *hub, job args) {
	t.Helper()
	id := fmt.Sprint(job["jobId"]) + "-later"
	later := job.and(args{"jobId": id, "start": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	if got := h.one("schedule", later).text("status"); got != "scheduled" && got != "queued" && got != "enqueued" {
		t.Errorf("a job of the future is %q, want scheduled", got)
	}
	h.one("cancelJob", args{"jobId": id})
	h.until("cancelled job", "job", args{"jobId": id}, func(o fields) bool { return o.text("status") == "cancelled" })
	if h.has("jobs") {
		f := found{}
		h.read("jobs", h.ask("jobs", args{"jobType": "scheduleUpdateTwin", "jobStatus": "cancelled", "pageSize": 1}), &f)
		if !slices.ContainsFunc(slices.Concat(f.Pages...), func(o fields) bool { return o.text("jobId") == id }) {
			t.Errorf("the list of cancelled jobs is %v, want %s in it", f.Pages, id)
		}
	}
	if got := g.show("job", "show", id).text("status"); got != "cancelled" {
		t.Errorf("by the CLI the job is %q", got)
	}
}

func wantCounts(t *testing.T, o fields, status string, succeeded, failed float64) {
	t.Helper()
	s := "deviceJobStatistics."
	if o.text("status") != status || o.at(s+"deviceCount") != succeeded+failed || o.at(s+"succeededCount") != succeeded || o.at(s+"failedCount") != failed {
		t.Errorf("the job is %v, want %s with %v succeeded and %v failed", o, status, succeeded, failed)
	}
}

// methodJobs calls a method of a fleet, of which one is not there.
func methodJobs(t *testing.T, g *gateway, h *hub) {
	fleet := deviceName(t)
	ids := h.fleet(fleet, 3)
	var devices []*driver
	for _, id := range ids[:2] {
		devices = append(devices, serving(g, h, h.one("get", naming(id))))
	}
	id := jobID(t, "")
	h.one("schedule", args{
		"jobId": id, "condition": "tags.fleet = '" + fleet + "'", "method": "echo", "payload": fields{"x": 1}, "responseTimeout": 20,
	})
	ended := h.until("end of the job", "job", args{"jobId": id}, jobEnded)
	wantCounts(t, ended, ended.text("status"), 2, 1)
	rows := "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '" + id + "' AND devices.jobs.status = 'completed'"
	if !h.has("rows of methods") {
		rows += " AND devices.jobs.deviceId = 'none'"
	}
	for _, o := range h.rows(rows, "DeviceJob") {
		if o.at("outcome.deviceMethodResponse.status") != 207.0 || o.at("outcome.deviceMethodResponse.payload.x") != 1.0 {
			t.Errorf("outcome of %s: %v", o.text("deviceId"), o.at("outcome"))
		}
	}
	for _, d := range devices {
		d.do("close", "a", nil)
	}
}

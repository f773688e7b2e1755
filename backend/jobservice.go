package backend

import (
	"context"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/jobs"
)

// JobService answers back-end apps who ask for scheduled jobs over NATS.
type JobService struct {
	responder

	jobs     *jobs.Jobs
	maxReply int // bytes of items in the answer to a list
	micro    micro.Service
}

// ServeJobs registers the NATS service hub-job, until Stop or until the backbone
// is closed. Several nodes share the requests.
func (b *Backbone) ServeJobs(j *jobs.Jobs) (*JobService, error) {
	s := &JobService{responder: b.responder("job"), jobs: j, maxReply: int(b.nc.MaxPayload()) - 64<<10}
	var err error
	s.micro, err = b.service(micro.Config{Name: b.names.JobName(), Description: "scheduled jobs"}, s.endpoints(), s.handler)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Stop takes no more requests.
func (s *JobService) Stop() error { return s.micro.Stop() }

const (
	jobMethodSchema  = `{"type":"object","required":["methodName"],"properties":{"methodName":{"type":"string"},"payload":{},"responseTimeoutInSeconds":{"type":"integer"},"connectTimeoutInSeconds":{"type":"integer"}}}`
	jobTypeSchema    = `{"enum":["scheduleUpdateTwin","scheduleDeviceMethod"]}`
	jobCountsSchema  = `{"type":"object","required":["deviceCount","failedCount","succeededCount","runningCount","pendingCount"],"properties":{"deviceCount":{"type":"integer"},"failedCount":{"type":"integer"},"succeededCount":{"type":"integer"},"runningCount":{"type":"integer"},"pendingCount":{"type":"integer"}}}`
	newJobSchema     = `{"type":"object","description":"header Hub-By: who asks","required":["type"],"properties":{"jobId":{"type":"string"},"type":` + jobTypeSchema + `,"cloudToDeviceMethod":` + jobMethodSchema + `,"updateTwin":{"type":"object","description":"with the etag *"},"queryCondition":{"type":"string","description":"what stands behind WHERE, * for all, or FROM devices.modules WHERE …"},"startTime":{"type":"string"},"maxExecutionTimeInSeconds":{"type":"integer"}}}`
	jobSchema        = `{"type":"object","required":["jobId","createdTime","startTime","maxExecutionTimeInSeconds","type","status","deviceJobStatistics"],"properties":{"jobId":{"type":"string"},"queryCondition":{"type":"string"},"createdTime":{"type":"string"},"startTime":{"type":"string"},"endTime":{"type":"string"},"maxExecutionTimeInSeconds":{"type":"integer"},"type":` + jobTypeSchema + `,"cloudToDeviceMethod":` + jobMethodSchema + `,"updateTwin":{"type":"object"},"status":{"enum":["scheduled","queued","running","completed","failed","cancelled"]},"failureReason":{"type":"string"},"statusMessage":{"type":"string"},"deviceJobStatistics":` + jobCountsSchema + `}}`
	listJobsSchema   = `{"type":"object","properties":{"jobType":{"type":"string"},"jobStatus":{"type":"string"},"top":{"type":"integer","description":"1 to 1000; 100 unless given"},"after":{"type":"string","description":"next of the page before"}},"additionalProperties":false}`
	listedJobsSchema = `{"type":"object","required":["items"],"properties":{"items":{"type":"array","items":` + jobSchema + `},"next":{"type":"string","description":"for the after of the next request; missing at the end"}}}`
)

func (s *JobService) endpoints() []endpoint {
	all := s.names.JobAll
	return []endpoint{
		{"put", all(subject.Put), "", newJobSchema, jobSchema, s.put},
		{"get", all(subject.Get), "", emptySchema, jobSchema, s.get},
		{"cancel", all(subject.Cancel), "", emptySchema, jobSchema, s.cancel},
		{"list", s.names.JobVerb(subject.List), "", listJobsSchema, listedJobsSchema, s.list},
	}
}

// put answers hub.job.put.{job}.
func (s *JobService) put(ctx context.Context, r request) (any, error) {
	id, err := s.names.ParseJob(subject.Put, r.subject)
	if err != nil {
		return nil, err
	}
	return printJob(s.jobs.Put(ctx, jobs.Request{ID: id, Body: r.body, By: author(r.by)}))
}

// get answers hub.job.get.{job}.
func (s *JobService) get(ctx context.Context, r request) (any, error) {
	id, err := s.named(subject.Get, r)
	if err != nil {
		return nil, err
	}
	return printJob(s.jobs.Get(ctx, id))
}

// cancel answers hub.job.cancel.{job}.
func (s *JobService) cancel(ctx context.Context, r request) (any, error) {
	id, err := s.named(subject.Cancel, r)
	if err != nil {
		return nil, err
	}
	return printJob(s.jobs.Cancel(ctx, id))
}

// named is the job that a request without a body is about.
func (s *JobService) named(v subject.Verb, r request) (string, error) {
	if err := r.decode(&struct{}{}); err != nil {
		return "", err
	}
	return s.names.ParseJob(v, r.subject)
}

// list answers hub.job.list. A page ends where a message does.
func (s *JobService) list(ctx context.Context, r request) (any, error) {
	var q struct {
		Type   string `json:"jobType"`
		Status string `json:"jobStatus"`
		Top    int    `json:"top"`
		After  string `json:"after"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	found, next, err := s.jobs.List(ctx, jobs.Query{Type: q.Type, Status: q.Status, Limit: q.Top, After: q.After})
	if err != nil {
		return nil, err
	}
	p := newPager(q.Top, s.maxReply)
	for _, j := range found {
		item, err := j.Response().AppendJSON(nil)
		if err != nil {
			return nil, err
		}
		if !p.add(j.Position(), item) {
			return p.page, nil
		}
	}
	p.Next = next
	return p.page, nil
}

// printJob is a job as an answer, or what an operation on it has failed with.
func printJob(j jobs.Job, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	text, err := j.Response().AppendJSON(nil)
	return raw(text), err
}

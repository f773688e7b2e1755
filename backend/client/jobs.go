package client

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

// Jobs is the scheduled jobs of a hub over NATS. Its errors are *hub.Error with
// the hub's own code; ServiceUnavailable when no hub answers. It is safe for
// concurrent use.
type Jobs struct{ c *Client }

// Jobs returns the jobs of the hub.
func (c *Client) Jobs() *Jobs { return &Jobs{c} }

// Put makes a job of r.Body, which is as IoT Hub's service API has it; see
// [jobs.Parse]. It fails with ArgumentInvalid, JobAlreadyExists and TooManyJobs.
func (j *Jobs) Put(ctx context.Context, r jobs.Request) (jobs.Response, error) {
	return j.ask(ctx, subject.Put, r)
}

// Get returns a job, or fails with JobNotFound.
func (j *Jobs) Get(ctx context.Context, id string) (jobs.Response, error) {
	return j.ask(ctx, subject.Get, jobs.Request{ID: id})
}

// Cancel ends a job: it begins with no more devices. It fails with JobNotFound,
// and with StateForbids when the job has ended.
func (j *Jobs) Cancel(ctx context.Context, id string) (jobs.Response, error) {
	return j.ask(ctx, subject.Cancel, jobs.Request{ID: id})
}

// List goes through the jobs that q selects, the oldest first. q.Limit is how many
// are asked for at once. An error ends it.
func (j *Jobs) List(ctx context.Context, q jobs.Query) iter.Seq2[jobs.Response, error] {
	return func(yield func(jobs.Response, error) bool) {
		ask := map[string]any{"jobType": q.Type, "jobStatus": q.Status, "top": q.Limit, "after": q.After}
		for {
			var page struct {
				Items []jobs.Response `json:"items"`
				Next  string          `json:"next"`
			}
			if err := j.c.request(ctx, call{subject: j.c.names.JobVerb(subject.List), body: ask}, &page); err != nil {
				yield(jobs.Response{}, err)
				return
			}
			for _, r := range page.Items {
				if !yield(r, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			ask["after"] = page.Next
		}
	}
}

func (j *Jobs) ask(ctx context.Context, v subject.Verb, r jobs.Request) (jobs.Response, error) {
	if err := jobs.CheckID(r.ID); err != nil {
		return jobs.Response{}, err
	}
	m := nats.NewMsg(j.c.names.Job(v, r.ID))
	m.Data = r.Body
	if r.By != "" {
		m.Header.Set(subject.ByHeader, r.By)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := j.c.ask(ctx, m)
	if err != nil {
		return jobs.Response{}, err
	}
	var got jobs.Response
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return jobs.Response{}, hub.Errorf(hub.ServerError, "the hub's answer is no job: %w", err)
	}
	return got, nil
}

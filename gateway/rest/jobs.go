package rest

import (
	"encoding/base64"
	"net/http"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

// putJob makes a job: PUT /jobs/v2/{job}.
func (s *Server) putJob(c *call) (reply, error) {
	body, err := c.body(jobs.MaxBody)
	if err != nil {
		return reply{}, err
	}
	if len(body) > 0 {
		if err := checkJSON(body); err != nil {
			return reply{}, err
		}
	}
	return printJob(s.Jobs.Put(c.ctx(), jobs.Request{ID: c.params["job"], Body: body, By: c.by}))
}

// getJob shows a job: GET /jobs/v2/{job}. One that does not exist is unknown, and
// no error; az looks elsewhere then.
func (s *Server) getJob(c *call) (reply, error) {
	j, err := s.Jobs.Get(c.ctx(), c.params["job"])
	if hub.CodeOf(err) == hub.JobNotFound {
		return reply{body: []byte(jobs.Unknown)}, nil
	}
	return printJob(j, err)
}

// cancelJob ends a job: POST /jobs/v2/{job}/cancel.
func (s *Server) cancelJob(c *call) (reply, error) {
	return printJob(s.Jobs.Cancel(c.ctx(), c.params["job"]))
}

// listJobs lists jobs: GET /jobs/v2/query. The body is an array, and not the object
// of IoT Hub's own description of its API, which no client can read.
func (s *Server) listJobs(c *call) (reply, error) {
	size, err := c.pageSize()
	if err != nil {
		return reply{}, err
	}
	const most = 100 // a job may be long
	if size == 0 || size > most {
		size = most
	}
	after, err := base64.RawURLEncoding.DecodeString(c.continuation())
	if err != nil {
		return reply{}, hub.Errorf(hub.ArgumentInvalid, "the header x-ms-continuation is none that this hub has given")
	}
	q := c.query()
	page, next, err := s.Jobs.List(c.ctx(), jobs.Query{Type: q.Get("jobType"), Status: q.Get("jobStatus"), After: string(after), Limit: size})
	if err != nil {
		return reply{}, err
	}
	out := reply{headers: http.Header{"X-Ms-Item-Type": {"JobResponse"}}}
	if next != "" {
		out.headers.Set("X-Ms-Continuation", base64.RawURLEncoding.EncodeToString([]byte(next)))
	}
	rows := make([]jobs.Response, 0, len(page))
	for i := range page {
		rows = append(rows, page[i].Response())
	}
	out.body = rows
	return out, nil
}

// printJob is a job as the service API has it.
func printJob(j jobs.Job, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{body: j.Response()}, nil
}

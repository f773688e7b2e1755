package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

type jobCmd struct {
	clientFlags `embed:""`

	Create  jobCreateCmd  `cmd:"" help:"Write twins, or call a method, of all devices that a condition selects."`
	Show    jobShowCmd    `cmd:"" help:"Show a job."`
	List    jobListCmd    `cmd:"" help:"List the jobs of the last 30 days, the oldest first."`
	Devices jobDevicesCmd `cmd:"" help:"Show what has become of each device of a job."`
	Watch   jobWatchCmd   `cmd:"" help:"Show how far a job is, until it has ended."`
	Cancel  jobCancelCmd  `cmd:"" help:"Let a job begin with no more devices."`
}

// AfterApply gives the commands below what they have in common.
func (c *jobCmd) AfterApply(a *app) error { //nolint:unparam // kong wants the error
	a.client = c.clientFlags
	return nil
}

type jobCreateCmd struct {
	ID              string          `arg:"" help:"Id of the job: a-z 0-9 - ', at most 64 characters."`
	Condition       string          `name:"where" short:"w" default:"*" placeholder:"CONDITION" help:"Which devices, as behind WHERE of a query; *: all. FROM devices.modules WHERE ...: modules."`
	Twin            string          `name:"twin" xor:"what" required:"" placeholder:"JSON" help:"Tags and desired properties to merge, as hubgate twin update takes them; @FILE reads a file and - the standard input."`
	Method          string          `name:"method" xor:"what" required:"" placeholder:"NAME" help:"Method to call."`
	Payload         string          `name:"payload" short:"p" placeholder:"JSON" help:"With --method: its payload as JSON, or @FILE, or @- for standard input. Default: null."`
	ConnectTimeout  config.Duration `name:"connect-timeout" placeholder:"TIME" help:"With --method: how long a device that is away is waited for, up to 5m. Default: not at all."`
	ResponseTimeout config.Duration `name:"response-timeout" placeholder:"TIME" help:"With --method: how long its answer is waited for, 5s to 5m. Default: 30s."`
	Start           string          `name:"start" placeholder:"TIME" help:"When to begin, as 2026-01-31T12:00:00Z, at most 7 days ahead. Default: now."`
	Limit           config.Duration `name:"limit" default:"1h" placeholder:"TIME" help:"How long the job may take, 1s to 30d."`
	Wait            bool            `name:"wait" help:"Wait until it has ended, and fail unless it has completed with all devices."`
}

// Run makes a job.
func (c *jobCreateCmd) Run(ctx context.Context, a *app) error {
	body, err := c.body(os.Stdin)
	if err != nil {
		return err
	}
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	r, err := h.Jobs().Put(ctx, jobs.Request{ID: c.ID, Body: body, By: "hubgate CLI"})
	if err != nil {
		return err
	}
	if !c.Wait {
		return a.showJob(r)
	}
	return a.awaitJob(ctx, h.Jobs(), r)
}

// body is the request as the service API has it.
func (c *jobCreateCmd) body(stdin io.Reader) ([]byte, error) {
	limit, err := secondsOf("--limit", c.Limit)
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		return nil, usagef("--limit: 0 is not from 1s to 30d")
	}
	body := map[string]any{"queryCondition": c.Condition, "maxExecutionTimeInSeconds": limit}
	if c.Start != "" {
		body["startTime"] = c.Start
	}
	if c.Method == "" {
		if c.Payload != "" || c.ConnectTimeout != 0 || c.ResponseTimeout != 0 {
			return nil, usagef("--payload, --connect-timeout and --response-timeout go with --method")
		}
		patch, err := c.patch(stdin)
		body["type"], body["updateTwin"] = jobs.UpdateTwin, patch
		if err != nil {
			return nil, err
		}
		return plainJSON(body)
	}
	m, err := c.call(stdin)
	if err != nil {
		return nil, err
	}
	body["type"], body["cloudToDeviceMethod"] = jobs.InvokeMethod, m
	return plainJSON(body)
}

// call is the method that a job calls.
func (c *jobCreateCmd) call(stdin io.Reader) (m jobs.Method, err error) {
	m.Name = c.Method
	if m.ConnectTimeout, err = secondsOf("--connect-timeout", c.ConnectTimeout); err != nil {
		return m, err
	}
	if m.ResponseTimeout, err = secondsOf("--response-timeout", c.ResponseTimeout); err != nil {
		return m, err
	}
	payload, err := payloadOf(c.Payload, stdin)
	if err != nil {
		return m, err
	}
	if len(payload) > 0 && !json.Valid(payload) {
		return m, usagef("--payload is not JSON")
	}
	m.Payload = payload
	return m, nil
}

// secondsOf is what a flag says in the seconds that a job has. A part of one is
// refused: without it, half a second would be 0, which is the default.
func secondsOf(flag string, d config.Duration) (int, error) {
	if d%config.Second != 0 {
		return 0, usagef("%s: %v is not a whole number of seconds", flag, d)
	}
	return int(d / config.Second), nil
}

// plainJSON is v as JSON, in which strings are as they were given.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	err := writeJSON(&b, v)
	return b.Bytes(), err
}

// patch is what --twin gives, with the etag that a job needs.
func (c *jobCreateCmd) patch(stdin io.Reader) (map[string]json.RawMessage, error) {
	patch, err := input(c.Twin, stdin)
	if err != nil {
		return nil, usagef("--twin: %w", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(patch, &members); err != nil || members == nil {
		return nil, usagef("--twin is no JSON object such as {\"tags\":{…}}")
	}
	members["etag"] = json.RawMessage(`"*"`)
	return members, nil
}

// showJobOf asks the hub something of a job and shows it.
func (a *app) showJobOf(ask func(*client.Jobs) (jobs.Response, error)) error {
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	r, err := ask(h.Jobs())
	if err != nil {
		return err
	}
	return a.showJob(r)
}

type jobShowCmd struct {
	ID string `arg:"" help:"Id of the job."`
}

// Run shows a job.
func (c *jobShowCmd) Run(ctx context.Context, a *app) error {
	return a.showJobOf(func(all *client.Jobs) (jobs.Response, error) { return all.Get(ctx, c.ID) })
}

func (a *app) showJob(r jobs.Response) error {
	if a.format == formatJSON {
		text, err := r.AppendJSON(nil)
		if err != nil {
			return err
		}
		return writeJSON(a.out, json.RawMessage(text))
	}
	method, twin := "", string(r.Twin)
	if r.Method != nil {
		method = r.Method.Name + " " + string(r.Method.Payload)
	}
	return writePairs(a.out, []row{
		{"Job", r.ID},
		{"Status", string(r.Status)},
		{"Devices", counts(r.Statistics)},
		{"Reason", visible(r.Failure)},
		{"Twin", visible(twin)},
		{"Method", visible(strings.TrimSpace(method))},
		{"Where", visible(r.Condition)},
		{"Created", timeText(r.Created.Time)},
		{"Start", timeText(r.Start.Time)},
		{"End", timeText(r.End.Time)},
		{"Limit", (time.Duration(r.Seconds) * time.Second).String()},
	})
}

func counts(s jobs.Statistics) string {
	return fmt.Sprintf("%d: %d succeeded, %d failed, %d running, %d pending", s.Devices, s.Succeeded, s.Failed, s.Running, s.Pending)
}

type jobListCmd struct {
	Type   string `name:"type" placeholder:"TYPE" help:"Only those of a type: scheduleUpdateTwin or scheduleDeviceMethod."`
	Status string `name:"status" placeholder:"STATUS" help:"Only those of a status, such as running."`
}

// Run lists jobs.
func (c *jobListCmd) Run(ctx context.Context, a *app) error {
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	all, rows := []jobs.Response{}, []row{}
	for r, err := range h.Jobs().List(ctx, jobs.Query{Type: c.Type, Status: c.Status}) {
		if err != nil {
			return err
		}
		all = append(all, r)
		s := r.Statistics
		rows = append(rows, row{
			r.ID, string(r.Type), string(r.Status), timeText(r.Start.Time), timeText(r.End.Time),
			strconv.Itoa(s.Devices), strconv.Itoa(s.Succeeded), strconv.Itoa(s.Failed),
		})
	}
	if a.format == formatJSON {
		return writeJSON(a.out, all)
	}
	return writeTable(a.out, row{"JOB", "TYPE", "STATUS", "START", "END", "DEVICES", "SUCCEEDED", "FAILED"}, rows)
}

type jobDevicesCmd struct {
	ID     string `arg:"" help:"Id of the job."`
	Status string `name:"status" enum:",pending,running,completed,failed,canceled" default:"" placeholder:"STATUS" help:"Only those of a status: pending, running, completed, failed or canceled."`
}

// Run shows the rows of a job, as the query FROM devices.jobs has them.
func (c *jobDevicesCmd) Run(ctx context.Context, a *app) error {
	if err := jobs.CheckID(c.ID); err != nil {
		return usagef("%s", sentence(err))
	}
	text := "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = " + quoted(c.ID)
	if c.Status != "" {
		text += " AND devices.jobs.status = " + quoted(c.Status)
	}
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	all, rows := []json.RawMessage{}, []row{}
	for item, err := range h.Query(ctx, text) {
		if err != nil {
			return err
		}
		r, err := jobs.DecodeRow(item)
		if err != nil {
			return err
		}
		all = append(all, item)
		rows = append(rows, row{r.For.String(), string(r.Status), timeText(r.End), visible(said(r))})
	}
	if len(rows) == 0 { // of a job that is not there too
		if _, err := h.Jobs().Get(ctx, c.ID); err != nil {
			return err
		}
	}
	if a.format == formatJSON {
		return writeJSON(a.out, all)
	}
	return writeTable(a.out, row{"DEVICE", "STATUS", "END", "ANSWER"}, rows)
}

// quoted is s as a string of the query language.
func quoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// said is what came of a device in one line.
func said(r jobs.Row) string {
	switch {
	case r.Error != nil:
		return r.Error.Code + " " + r.Error.Description
	case r.Answer != nil:
		return strconv.Itoa(r.Answer.Status) + " " + string(r.Answer.Payload)
	default:
		return ""
	}
}

type jobWatchCmd struct {
	ID string `arg:"" help:"Id of the job."`
}

// Run shows how far a job is.
func (c *jobWatchCmd) Run(ctx context.Context, a *app) error {
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	r, err := h.Jobs().Get(ctx, c.ID)
	if err != nil {
		return err
	}
	return untilSignal(ctx, a.followJob(ctx, h.Jobs(), &r))
}

const jobPoll = time.Second

// followJob prints r, and each change of it until it has ended.
func (a *app) followJob(ctx context.Context, all *client.Jobs, r *jobs.Response) error {
	t := time.NewTicker(jobPoll)
	defer t.Stop()
	for last := ""; ; {
		line := fmt.Sprintf("%s  %s", r.Status, counts(r.Statistics))
		if line != last {
			if err := a.jobLine(*r, line); err != nil {
				return err
			}
		}
		last = line
		if r.Status.Ended() && r.Statistics.Running+r.Statistics.Pending == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		next, err := all.Get(ctx, r.ID)
		if hub.CodeOf(err) == hub.ServiceUnavailable && ctx.Err() == nil {
			continue // it goes on without us
		}
		if err != nil {
			return err
		}
		*r = next
	}
}

func (a *app) jobLine(r jobs.Response, line string) error {
	if a.format != formatJSON {
		return a.say("%s", line)
	}
	text, err := r.AppendJSON(nil)
	if err != nil {
		return err
	}
	return writeJSON(a.out, json.RawMessage(text))
}

// awaitJob follows a job, and fails unless it was done with all devices.
func (a *app) awaitJob(ctx context.Context, all *client.Jobs, r jobs.Response) error {
	if err := a.followJob(ctx, all, &r); err != nil {
		return err
	}
	if r.Status == jobs.Completed && r.Statistics.Failed == 0 {
		return nil
	}
	reason := r.Failure
	if reason == "" {
		reason = counts(r.Statistics)
	}
	return fmt.Errorf("the job %s is %s: %s", r.ID, r.Status, reason)
}

type jobCancelCmd struct {
	ID string `arg:"" help:"Id of the job."`
}

// Run cancels a job.
func (c *jobCancelCmd) Run(ctx context.Context, a *app) error {
	return a.showJobOf(func(all *client.Jobs) (jobs.Response, error) { return all.Cancel(ctx, c.ID) })
}

package main

import (
	"context"
	"time"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/query"
	"github.com/hubgate/hubgate/twin"
)

// buildJobs makes the operations on scheduled jobs.
func (n *node) buildJobs() {
	n.jobs = &jobs.Jobs{Store: n.back.Jobs(), Limits: jobLimits(n.cfg.Jobs), Check: jobActions{}.Check}
}

// startJobs lets this node work on scheduled jobs, and answers those who ask for
// them. When the node stops its jobs go to others, before its devices do.
func (n *node) startJobs() error {
	ctx, cancel := context.WithCancel(context.Background())
	r := &jobs.Runner{
		Jobs: n.jobs, Node: n.cfg.Node, Rows: n.back.Jobs(), Targets: jobTargets{n.back.Fleet()},
		Actions: jobActions{twins: n.twins, invoker: n.methods.Invoker},
		Report: func(job string, err error) {
			if ctx.Err() == nil { // else it is the stop that holds it up
				n.log.Warn().Err(err).Str("job", job).Msg("a job is held up; it goes on by itself")
			}
		},
	}
	runs := n.keepRunning(ctx, r.Run)
	n.onStop(func(context.Context) {
		cancel()
		<-runs
	})
	service, err := n.back.ServeJobs(n.jobs)
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) { _ = service.Stop() })
	return nil
}

const restartPause = time.Second

// keepRunning runs what has to run as long as the node does, again when it has
// failed. The channel is closed when it has ended with ctx.
func (n *node) keepRunning(ctx context.Context, run func(context.Context) error) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := run(ctx); err != nil {
				n.log.Warn().Err(err).Msg("scheduled jobs are interrupted")
			}
			select {
			case <-ctx.Done():
			case <-time.After(restartPause):
			}
		}
	}()
	return done
}

func jobLimits(c config.Jobs) jobs.Limits {
	return jobs.Limits{Active: c.MaxActive, InFlight: c.MaxInFlight, Rate: c.DeviceRate.PerSecond()}
}

// jobTargets finds the devices of a job in the index of the node.
type jobTargets struct{ fleet *backend.Fleet }

// Each implements [jobs.Targets].
func (t jobTargets) Each(ctx context.Context, condition string, visit func(hub.Identity) bool) error {
	q, err := query.ParseCondition(condition)
	if err != nil {
		return err
	}
	if q.Source() == query.Jobs {
		return hub.Errorf(hub.ArgumentInvalid, "the condition selects from %s: a job is for %s or %s", query.Jobs, query.Devices, query.Modules)
	}
	return t.fleet.Each(ctx, q, visit)
}

// jobActions does to a device what a job says, by the operations that everybody
// else uses.
type jobActions struct {
	twins   *twin.Twins
	invoker *methods.Invoker
}

// UpdateTwin implements [jobs.Actions].
func (a jobActions) UpdateTwin(ctx context.Context, id hub.Identity, w jobs.Write) error {
	_, err := a.twins.Update(ctx, id, twin.Write{Body: w.Patch, By: w.By})
	return err
}

// InvokeMethod implements [jobs.Actions].
func (a jobActions) InvokeMethod(ctx context.Context, id hub.Identity, m jobs.Method) (int, []byte, error) {
	answer, err := a.invoker.Invoke(ctx, callOf(id, m))
	return answer.Status, answer.Payload, err
}

// Check implements [jobs.Actions].
func (a jobActions) Check(j *jobs.Job) error {
	if j.Type == jobs.UpdateTwin {
		_, err := twin.ParseUpdate(j.Twin)
		return err
	}
	call := callOf(hub.Identity{}, *j.Method)
	return call.Complete()
}

func callOf(id hub.Identity, m jobs.Method) methods.Call {
	return methods.Call{
		ID: id, Method: m.Name, Payload: m.Payload,
		ResponseTimeout: time.Duration(m.ResponseTimeout) * time.Second, ConnectTimeout: time.Duration(m.ConnectTimeout) * time.Second,
	}
}

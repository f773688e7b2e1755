package main

import (
	"context"
	"errors"
	"time"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/query"
	"github.com/hubgate/hubgate/timeline"
	"github.com/hubgate/hubgate/twin"
)

// configurations wires the rules of automatic device management.
func (n *node) configurations() *configuration.Service {
	twins := configuredTwins{n.registry, n.twins}
	return &configuration.Service{
		Store: n.back.Configurations(), Language: language{}, Counter: documents{n.back.Fleet()},
		Twins: twins, Devices: twins, Limit: n.cfg.Configurations.Max,
	}
}

// serveConfigurations answers who manages configurations, and applies them.
func (n *node) serveConfigurations() error {
	service, err := n.back.ServeConfigurations(n.configs)
	if err != nil {
		return err
	}
	documents := documents{n.back.Fleet()}
	n.controller = &configuration.Controller{
		Store: n.back.Configurations(), Language: language{}, Fleet: documents, Board: documents,
		Twins: configuredTwins{n.registry, n.twins}, Lease: n.back.ConfigurationLease(), Report: n.unconfigured,
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.controller.Run(ctx)
	}()
	n.onStop(func(context.Context) {
		_ = service.Stop()
		cancel()
		<-done
	})
	return nil
}

// unconfigured tells of a twin that is not as a configuration says, and of what
// keeps configurations from being applied at all.
func (n *node) unconfigured(t configuration.Trouble) {
	if t.ID != (hub.Identity{}) && !n.back.Recorder().Record(timeline.Entry{ID: t.ID, What: timeline.Unconfigured, Code: t.Code, Message: t.Message, Time: time.Now()}) {
		return // a repetition
	}
	e := n.log.Warn().Err(t.Err).Str("code", t.Code.Name())
	if t.Configuration != "" {
		e = e.Str("configuration", t.Configuration)
	}
	if t.ID.Device != "" {
		e = e.Str("device_id", t.ID.Device)
	}
	if t.ID.IsModule() {
		e = e.Str("module_id", t.ID.Module)
	}
	e.Msg(t.Message)
}

// condition is a target condition.
type condition struct{ query *query.Query }

// OfModules implements configuration.Condition.
func (c condition) OfModules() bool { return c.query.Source() == query.Modules }

// Clause implements configuration.Condition.
func (c condition) Clause() string { return c.query.Where() }

// language is the query language as configurations need it.
type language struct{}

// Condition implements configuration.Language.
func (language) Condition(text string) (configuration.Condition, error) {
	q, err := query.ParseCondition(text)
	if err != nil {
		return nil, err
	}
	if q.Source() == query.Jobs {
		return nil, hub.Errorf(hub.ArgumentInvalid, "a configuration is for devices or modules, and not for jobs")
	}
	return condition{q}, nil
}

// Check implements configuration.Language.
func (language) Check(text string) error {
	_, err := query.Parse(text)
	return err
}

// documents is the fleet as configurations see it.
type documents struct{ fleet *backend.Fleet }

var (
	_ configuration.Fleet   = documents{}
	_ configuration.Counter = documents{}
	_ configuration.Board   = documents{}
)

// Get implements configuration.Fleet.
func (d documents) Get(id hub.Identity) ([]byte, bool) { return d.fleet.Document(id) }

// Matches implements configuration.Fleet.
func (d documents) Matches(c configuration.Condition, id hub.Identity) bool {
	own, ok := c.(condition)
	return ok && own.OfModules() == id.IsModule() && d.fleet.Matches(own.query, id)
}

// Each implements configuration.Fleet.
func (d documents) Each(ctx context.Context, c configuration.Condition, visit func(hub.Identity) bool) error {
	own, ok := c.(condition)
	if !ok {
		return nil
	}
	return d.fleet.Each(ctx, own.query, visit)
}

// Changes implements configuration.Fleet.
func (d documents) Changes(ctx context.Context, begun func(), told func(hub.Identity)) error {
	return d.fleet.ChangesFrom(ctx, begun, told)
}

// Count implements configuration.Counter.
func (d documents) Count(ctx context.Context, text string) (int, error) {
	q, err := query.Parse(text)
	if err != nil {
		return 0, err
	}
	return d.fleet.Count(ctx, q)
}

// Show implements configuration.Board.
func (d documents) Show(id hub.Identity, all []configuration.Status) {
	statuses := make([]twin.ConfigurationStatus, len(all))
	for i, s := range all {
		statuses[i] = twin.ConfigurationStatus{ID: s.ID, Status: s.String()}
	}
	d.fleet.ShowConfigurations(id, statuses)
}

// configuredTwins is the operations on identities and twins that configurations
// need.
type configuredTwins struct {
	registry *identity.Registry
	twins    *twin.Twins
}

var (
	_ configuration.Twins    = configuredTwins{}
	_ configuration.Registry = configuredTwins{}
)

// writeTime bounds one operation.
const writeTime = 10 * time.Second

// Check implements configuration.Twins.
func (c configuredTwins) Check(body []byte) error {
	p, err := twin.ParseUpdate(body)
	if err == nil {
		_, _, err = twin.New(hub.Identity{Device: "any"}, "", time.Time{}).Patch(p, "", time.Now())
	}
	return err
}

// Update implements configuration.Twins.
func (c configuredTwins) Update(ctx context.Context, id hub.Identity, w configuration.Write) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	_, err := c.twins.Update(ctx, id, configuredWrite(w))
	return err
}

func configuredWrite(w configuration.Write) twin.Write {
	origins := make([]twin.Origin, len(w.Origins))
	for i, o := range w.Origins {
		origins[i] = twin.Origin{Path: o.Path, Configuration: o.ID, Digest: o.Digest}
	}
	return twin.Write{Body: w.Body, IfMatch: w.IfMatch, By: w.By, Origins: origins}
}

// Replace implements configuration.Twins. A replacement is of tags too, and so
// it takes those that are there.
func (c configuredTwins) Replace(ctx context.Context, id hub.Identity, w configuration.Write) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	const tries = 10
	for try := 1; ; try++ {
		t, err := c.twins.Get(ctx, id)
		if err != nil {
			return err
		}
		own := w
		own.Body = append([]byte(`{"tags":`), t.Tags()...)
		own.Body = append(append(own.Body, ','), w.Body[1:]...)
		own.IfMatch = t.ETag
		_, err = c.twins.Replace(ctx, id, configuredWrite(own))
		if !errors.Is(err, &hub.Error{Code: hub.PreconditionFailed}) || try == tries {
			return err
		}
	}
}

// Create implements configuration.Twins.
func (c configuredTwins) Create(ctx context.Context, module hub.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	if _, err := c.registry.Get(ctx, module); err == nil {
		return identity.AlreadyExists(module)
	}
	_, err := c.registry.Create(ctx, identity.Record{ID: module, ManagedBy: "iotEdge"})
	return err
}

// IsEdge implements configuration.Registry.
func (c configuredTwins) IsEdge(ctx context.Context, device string) (bool, error) {
	r, err := c.registry.Get(ctx, hub.Identity{Device: device})
	return r.Edge, err
}

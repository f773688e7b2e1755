package backend

import (
	"context"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/query"
)

// messageCount is the root member that is counted when somebody asks for it.
const messageCount = "cloudToDeviceMessageCount"

// Query answers a page of a query. It waits, at most for two seconds, until the
// index has what this node has written so far; ServiceUnavailable says that it
// has not yet, or that the node is still loading.
func (f *Fleet) Query(ctx context.Context, text string, p query.Page) (query.Result, error) {
	q, err := query.Parse(text)
	if err != nil {
		return query.Result{}, err
	}
	c, err := f.ask(ctx, q)
	if err != nil {
		return query.Result{}, err
	}
	return c.Run(ctx, q, p)
}

// Explain says what would serve a query now.
func (f *Fleet) Explain(ctx context.Context, text string) (query.Plan, error) {
	q, err := query.Parse(text)
	if err != nil {
		return query.Plan{}, err
	}
	c, err := f.ask(ctx, q)
	if err != nil {
		return query.Plan{}, err
	}
	return c.Explain(q), nil
}

// Each visits the identities that the condition of q selects, in the order of
// their names, until visit returns false. It waits as [Fleet.Query] does.
func (f *Fleet) Each(ctx context.Context, q *query.Query, visit func(hub.Identity) bool) error {
	c, err := f.ask(ctx, q)
	if err != nil {
		return err
	}
	return c.Each(ctx, q, func(key string) bool {
		id, err := hub.ParseIdentity(key)
		return err != nil || visit(id)
	})
}

// Count is how many rows q has. It waits as [Fleet.Query] does.
func (f *Fleet) Count(ctx context.Context, q *query.Query) (int, error) {
	c, err := f.ask(ctx, q)
	if err != nil {
		return 0, err
	}
	return c.Count(ctx, q)
}

// Watch tells of the rows of a query and of their changes; see
// [query.Collection.Watch]. It waits at first as [Fleet.Query] does.
func (f *Fleet) Watch(ctx context.Context, text string, told func(query.Event)) error {
	q, err := query.Parse(text)
	if err != nil {
		return err
	}
	c, err := f.ask(ctx, q)
	if err != nil {
		return err
	}
	return c.Watch(ctx, q, told)
}

// Matches reports whether the condition of q selects the identity, as the index
// has it.
func (f *Fleet) Matches(q *query.Query, id hub.Identity) bool {
	return f.collection(q).Matches(q, id.String())
}

// ask waits until the index is fit for q, and returns where q is answered.
func (f *Fleet) ask(ctx context.Context, q *query.Query) (*query.Collection, error) {
	if q.Source() == query.Jobs {
		return f.askJobs(ctx, q)
	}
	if err := f.current(ctx, counting(q.Source() == query.Devices && q.Names(messageCount))); err != nil {
		return nil, err
	}
	return f.collection(q), nil
}

// askJobs is ask for the rows of jobs.
func (f *Fleet) askJobs(ctx context.Context, q *query.Query) (*query.Collection, error) {
	if feed := f.jobFeed.Load(); feed != nil {
		ctx, cancel := context.WithTimeout(ctx, freshness)
		defer cancel()
		if err := feed.reach(ctx); err != nil {
			return nil, err
		}
	}
	return f.collection(q), nil
}

func (f *Fleet) collection(q *query.Query) *query.Collection {
	switch q.Source() {
	case query.Modules:
		return f.catalog.modules
	case query.Jobs:
		return f.jobs
	case query.Devices:
		fallthrough
	default:
		return f.catalog.devices
	}
}

// FleetStats is what the index holds.
type FleetStats struct {
	Loaded  bool        `json:"loaded"` // queries are answered
	Devices query.Stats `json:"devices"`
	Modules query.Stats `json:"modules"`
}

// Stats counts what the index holds.
func (f *Fleet) Stats() FleetStats {
	return FleetStats{Loaded: f.missing.Load() == 0, Devices: f.catalog.devices.Stats(), Modules: f.catalog.modules.Stats()}
}

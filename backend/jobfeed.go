package backend

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/query"
)

// FollowJobs keeps the rows of all jobs as documents of FROM devices.jobs, until
// ctx ends. Queries of the fleet find them when all have been read, and wait for what
// this node has written since. When they had to be read again they are in another
// collection.
func (b *Backbone) FollowJobs(ctx context.Context) {
	r := &jobReader{fleet: b.fleet, log: b.cfg.Log}
	f := newFeed(b.js, b.jobs.rows, b.cfg.Log)
	f.begin, f.visit, f.end = r.begin, r.visit, r.end
	b.fleet.jobFeed.Store(f)
	defer b.fleet.jobFeed.Store(nil)
	f.run(ctx)
}

// jobReader makes collections of what a feed tells.
type jobReader struct {
	fleet   *Fleet
	log     zerolog.Logger
	current *query.Collection
}

func (r *jobReader) begin() {
	r.current = query.NewCollection(query.Config{Source: query.Jobs, Order: jobOrder()})
}

func (r *jobReader) end() { r.fleet.jobs.Store(r.current) }

// visit enters a row. The key of its document is that of the bucket.
func (r *jobReader) visit(w written) {
	if _, _, err := subject.ParseJobRowKey(w.key); err != nil {
		return // the fence, or not the hub's
	}
	if w.gone {
		r.current.Delete(w.key)
		return
	}
	if err := r.current.Set(w.key, 0, w.value); err != nil {
		r.current.Delete(w.key)
		r.log.Warn().Err(err).Str("key", w.key).Msg("a row of a job is left out of queries")
	}
}

// jobOrder is the members of a row in the order in which they are printed.
func jobOrder() []string {
	return []string{
		"deviceId", "moduleId", "jobId", "jobType", "status", "startTimeUtc", "endTimeUtc", "createdDateTimeUtc",
		"lastUpdatedDateTimeUtc", "outcome", "error",
	}
}

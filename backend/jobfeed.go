package backend

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/query"
)

// FollowJobs keeps the rows of all jobs as documents of FROM devices.jobs, until
// ctx ends. Queries of the fleet find them when all have been read, and wait for what
// this node has written since.
func (b *Backbone) FollowJobs(ctx context.Context) {
	r := &jobReader{rows: b.fleet.jobs, log: b.cfg.Log}
	f := newFeed(b.js, b.jobs.rows, b.cfg.Log)
	f.begin, f.visit, f.end = r.begin, r.visit, r.end
	b.fleet.jobFeed.Store(f)
	defer b.fleet.jobFeed.Store(nil)
	f.run(ctx)
}

// newJobRows is the documents of the rows of jobs: none.
func newJobRows() *query.Collection {
	return query.NewCollection(query.Config{
		Source: query.Jobs, Order: jobOrder(),
		Aliases: map[string]string{"createdTimeUtc": "createdDateTimeUtc"}, // as Microsoft's examples have it
	})
}

// jobReader makes documents of what a feed tells. They stay in one collection, also
// when all is told again: somebody may watch it.
type jobReader struct {
	rows   *query.Collection
	log    zerolog.Logger
	untold map[string]bool // keys of documents of which the feed has not told yet
}

func (r *jobReader) begin() {
	r.untold = map[string]bool{}
	r.rows.Keys(func(key string) { r.untold[key] = true })
}

func (r *jobReader) end() {
	for key := range r.untold {
		r.rows.Delete(key)
	}
	r.untold = nil
}

// visit enters a row. The key of its document is that of the bucket.
func (r *jobReader) visit(w written) {
	if _, _, err := subject.ParseJobRowKey(w.key); err != nil {
		return // the fence, or not the hub's
	}
	delete(r.untold, w.key)
	if w.gone {
		r.rows.Delete(w.key)
		return
	}
	if err := r.rows.Set(w.key, 0, w.value); err != nil {
		r.rows.Delete(w.key)
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

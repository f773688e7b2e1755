package backend

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

// JobStore keeps scheduled jobs in the bucket hub_jobs, one key each, and what
// has become of their devices in hub_jobrows, one key for each device of each job.
// It is safe for concurrent use.
type JobStore struct {
	bucket *bucket
	rows   *bucket
	stream jetstream.Stream // behind the bucket of rows
}

var (
	_ jobs.Store = (*JobStore)(nil)
	_ jobs.Rows  = (*JobStore)(nil)
)

const (
	maxJobBytes    = 256 << 20
	maxJobRowBytes = 512 << 20
	// A job with its payload or patch, or a row with a device's answer.
	maxJobRecord = 256 << 10
)

// jobAssets are the buckets of jobs.
func (c Config) jobAssets() []asset {
	n := c.names()
	all := c.bucket(n.JobBucket(), "scheduled jobs", maxJobBytes)
	rows := c.bucket(n.JobRowBucket(), "scheduled jobs, device by device", maxJobRowBytes)
	all.want.MaxMsgSize, rows.want.MaxMsgSize = maxJobRecord, maxJobRecord
	return []asset{all, rows}
}

// openJobs opens the store when the buckets are there.
func (b *Backbone) openJobs(ctx context.Context) error {
	all, err := openBucket(ctx, b.js, b.names.JobBucket())
	if err != nil {
		return err
	}
	rows, err := openBucket(ctx, b.js, b.names.JobRowBucket())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, "KV_"+rows.name)
	if err != nil {
		return rows.fault("open", "all keys", err)
	}
	b.jobs = &JobStore{bucket: all, rows: rows, stream: stream}
	return nil
}

// Jobs is the store of scheduled jobs.
func (b *Backbone) Jobs() *JobStore { return b.jobs }

// Create implements [jobs.Store].
func (s *JobStore) Create(ctx context.Context, j *jobs.Job) error { return s.write(ctx, j, 0) }

// Update implements [jobs.Store].
func (s *JobStore) Update(ctx context.Context, j *jobs.Job) error { return s.write(ctx, j, j.Revision) }

func (s *JobStore) write(ctx context.Context, j *jobs.Job, rev uint64) error {
	value, err := j.Encode()
	if err != nil {
		return err
	}
	rev, err = s.bucket.put(ctx, subject.JobKey(j.ID), value, rev)
	if err != nil {
		return jobFault(j.ID, err)
	}
	j.Revision = rev
	return nil
}

// Remove implements [jobs.Store].
func (s *JobStore) Remove(ctx context.Context, j jobs.Job) error {
	return jobFault(j.ID, s.bucket.remove(ctx, subject.JobKey(j.ID), j.Revision))
}

// Get implements [jobs.Store].
func (s *JobStore) Get(ctx context.Context, id string) (jobs.Job, error) {
	e, err := s.bucket.get(ctx, subject.JobKey(id))
	if err != nil {
		return jobs.Job{}, jobFault(id, err)
	}
	return decodeJob(e)
}

// Watch implements [jobs.Store]. What the hub has not written is passed over.
func (s *JobStore) Watch(ctx context.Context, told jobs.Watcher) error {
	for ctx.Err() == nil {
		told.Loading()
		_, err := s.bucket.follow(ctx, 0, func(e jetstream.KeyValueEntry) { tellJob(told, e) })
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func tellJob(told jobs.Watcher, e jetstream.KeyValueEntry) {
	if e == nil {
		told.Loaded()
		return
	}
	if e.Operation() == jetstream.KeyValuePut {
		if j, err := decodeJob(e); err == nil {
			told.Stored(j)
		}
		return
	}
	if id, err := subject.DecodeToken(e.Key()); err == nil {
		told.Removed(id)
	}
}

func decodeJob(e jetstream.KeyValueEntry) (jobs.Job, error) {
	id, err := subject.DecodeToken(e.Key())
	if err == nil {
		err = jobs.CheckID(id)
	}
	if err != nil {
		return jobs.Job{}, err
	}
	j, err := jobs.Decode(id, e.Value())
	j.Revision = e.Revision()
	return j, err
}

// jobFault says of a failure of a bucket what it means for a job.
func jobFault(id string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStale):
		return hub.Errorf(hub.PreconditionFailed, "the job %s has been changed meanwhile", id)
	case errors.Is(err, jetstream.ErrKeyExists):
		return hub.Errorf(hub.JobAlreadyExists, "there is a job %s already", id)
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return hub.Errorf(hub.JobNotFound, "there is no job %s", id)
	case apiCode(err) == errStoreFull:
		return hub.Errorf(hub.QuotaExceeded, "there is no room for more jobs: raise max_bytes of the buckets of jobs, or wait until old ones are forgotten: %w", err)
	default:
		return err
	}
}

package backend

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

const (
	// fenceParts is of how many keys the fence of a job is made. JetStream looks at
	// one of them with each write of a row, and a cluster lets one write at a time
	// look at a key: as many rows can be on their way at once.
	fenceParts = 16
	// pageRows is how many rows are read at once.
	pageRows = 256
	pageTime = 2 * requestTimeout
	// pageConsumer is how long a consumer is kept that could not be deleted.
	pageConsumer = 30 * time.Second
)

// Mark implements [jobs.Rows]: it is the revisions of the keys of the fence.
func (s *JobStore) Mark(ctx context.Context, job string) (jobs.Mark, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m := make(jobs.Mark, fenceParts)
	g, ctx := errgroup.WithContext(ctx)
	for i := range m {
		g.Go(func() error {
			last, err := s.rows.last(ctx, subject.JobFenceKey(job, i))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil
			}
			if err != nil {
				return s.rows.fault("read", subject.JobFenceKey(job, i), err)
			}
			m[i] = last.Sequence
			return nil
		})
	}
	return m, g.Wait()
}

// Hold implements [jobs.Rows]: it writes all keys of the fence by compare-and-set.
func (s *JobStore) Hold(ctx context.Context, job string, m jobs.Mark) (jobs.Hold, error) {
	h := &jobHold{store: s, job: job, epochs: make([]uint64, fenceParts), free: make(chan int, fenceParts)}
	err := h.all(ctx, func(ctx context.Context, i int) error {
		var err error
		h.epochs[i], err = s.publish(ctx, nats.NewMsg(s.rows.putSubject(subject.JobFenceKey(job, i))), jetstream.WithExpectLastSequencePerSubject(m[i]))
		h.free <- i
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// fence is the subject of one key of the fence.
func (s *JobStore) fence(job string, part int) string {
	return s.rows.subject(subject.JobFenceKey(job, part))
}

// publish writes a message behind the fence, and returns its revision.
func (s *JobStore) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ack, err := s.rows.js.PublishMsg(ctx, m, opts...)
	if err == nil {
		s.rows.wrote(ack.Sequence)
		return ack.Sequence, nil
	}
	switch apiCode(err) {
	case jetstream.JSErrCodeStreamWrongLastSequence:
		return 0, hub.Errorf(hub.PreconditionFailed, "somebody else holds the rows of the job")
	case jetstream.JSErrCodeStreamWrongLastSequenceConstant: // one before it is on its way through the cluster
		return 0, hub.Errorf(hub.ServiceUnavailable, "another write of the rows of the job is on its way: %w", err)
	case errStoreFull:
		return 0, hub.Errorf(hub.QuotaExceeded, "there is no room for the devices of the job: raise max_bytes of the bucket %s: %w", s.rows.name, err)
	default:
		return 0, s.rows.fault("write", m.Subject, err)
	}
}

// jobHold is the right to write the rows of a job, as long as the fence stands
// where it has put it.
type jobHold struct {
	store  *JobStore
	job    string
	epochs []uint64 // of the keys of the fence
	free   chan int // those that no write looks at
}

// Put implements [jobs.Hold].
func (h *jobHold) Put(ctx context.Context, r *jobs.Row) error {
	value, err := r.Encode()
	if err != nil {
		return err
	}
	m := nats.NewMsg(h.store.rows.putSubject(subject.JobRowKey(h.job, r.For)))
	m.Data = value
	revision, err := h.write(ctx, m)
	if err == nil {
		r.Revision = revision
	}
	return err
}

// Delete implements [jobs.Hold].
func (h *jobHold) Delete(ctx context.Context, r jobs.Row) error {
	_, err := h.write(ctx, purge(h.store.rows.putSubject(subject.JobRowKey(h.job, r.For))), jetstream.WithMsgTTL(markerAge))
	return err
}

// Drop implements [jobs.Hold].
func (h *jobHold) Drop(ctx context.Context) error {
	return h.all(ctx, func(ctx context.Context, i int) error {
		m := purge(h.store.rows.putSubject(subject.JobFenceKey(h.job, i)))
		_, err := h.store.publish(ctx, m, jetstream.WithExpectLastSequencePerSubject(h.epochs[i]), jetstream.WithMsgTTL(markerAge))
		if hub.CodeOf(err) != hub.PreconditionFailed {
			return err
		}
		last, readErr := h.store.rows.last(ctx, subject.JobFenceKey(h.job, i))
		if readErr == nil && gone(last) || errors.Is(readErr, jetstream.ErrMsgNotFound) {
			return nil // it was dropped, and the answer lost
		}
		return err
	})
}

// purge is the message that marks a key as deleted.
func purge(key string) *nats.Msg {
	m := nats.NewMsg(key)
	m.Header.Set(operationHeader, "PURGE")
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	return m
}

// write writes a message if the fence stands where this holder has put it.
func (h *jobHold) write(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (uint64, error) {
	select {
	case i := <-h.free:
		defer func() { h.free <- i }()
		return h.store.publish(ctx, m, append(opts, jetstream.WithExpectLastSequenceForSubject(h.epochs[i], h.store.fence(h.job, i)))...)
	case <-ctx.Done():
		return 0, hub.Errorf(hub.ServiceUnavailable, "the rows of the job could not be written in time: %w", ctx.Err())
	}
}

// all does something for each key of the fence. It waits for all of them also when
// one fails: what a loser has on its way would take the job from who marks it next.
func (h *jobHold) all(ctx context.Context, do func(ctx context.Context, part int) error) error {
	var g errgroup.Group
	for i := range h.epochs {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

// Page implements [jobs.Rows].
func (s *JobStore) Page(ctx context.Context, job string, after uint64) (rows []jobs.Row, next uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	if s.rows.reader.IsFresh() {
		return s.pageOfLeader(ctx, job, after)
	}
	c, err := s.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, FilterSubject: s.rows.subject(subject.JobRowKeys(job)),
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: pageConsumer,
	})
	if err != nil {
		return nil, 0, s.rows.fault("read", "rows", err)
	}
	defer s.discard(ctx, c)
	pending := c.CachedInfo().NumPending
	if pending == 0 {
		return nil, 0, nil
	}
	batch, err := c.Fetch(int(min(pending, pageRows)), jetstream.FetchMaxWait(requestTimeout))
	if err != nil {
		return nil, 0, s.rows.fault("read", "rows", err)
	}
	for m := range batch.Messages() {
		if next, err = sequence(m); err != nil {
			return nil, 0, err
		}
		if r, ok := rowOf(m.Headers(), m.Data(), next); ok {
			rows = append(rows, r)
		}
	}
	if batch.Error() != nil || next == 0 {
		return nil, 0, s.rows.fault("read", "rows", errors.Join(batch.Error(), errors.New("the rows did not come in time")))
	}
	if pending <= pageRows {
		next = 0
	}
	return rows, next, nil
}

// pageOfLeader is Page where there may be several replicas. A consumer reads one
// of them, which may lack the last rows of the node that had the job before: their
// devices would be called a second time. So the leader is asked, row by row. A page
// that takes too long is a short one.
func (s *JobStore) pageOfLeader(ctx context.Context, job string, after uint64) (rows []jobs.Row, next uint64, err error) {
	subjects := s.rows.subject(subject.JobRowKeys(job))
	for range pageRows {
		m, err := s.rows.reader.Next(ctx, after+1, subjects)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return rows, 0, nil
		case err != nil && next > 0 && errors.Is(err, context.DeadlineExceeded):
			return rows, next, nil
		case err != nil:
			return nil, 0, s.rows.fault("read", "rows", err)
		}
		after, next = m.Sequence, m.Sequence
		if r, ok := rowOf(m.Header, m.Data, m.Sequence); ok {
			rows = append(rows, r)
		}
	}
	return rows, next, nil
}

// discard deletes the consumer of a page. One that is left goes by itself.
func (s *JobStore) discard(ctx context.Context, c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	_ = s.stream.DeleteConsumer(ctx, c.CachedInfo().Name)
}

func sequence(m jetstream.Msg) (uint64, error) {
	meta, err := m.Metadata()
	if err != nil {
		return 0, hub.Errorf(hub.ServerError, "read a row of a job: %w", err)
	}
	return meta.Sequence.Stream, nil
}

// rowOf reads a row; false: it is deleted, or the hub has not written it.
func rowOf(h header, data []byte, revision uint64) (jobs.Row, bool) {
	if isMarker(h) {
		return jobs.Row{}, false
	}
	r, err := jobs.DecodeRow(data)
	r.Revision = revision
	return r, err == nil
}

// Scarce implements [jobs.Rows]: half of the bucket is in use.
func (s *JobStore) Scarce(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if err != nil {
		return false, s.rows.fault("look up", "its size", err)
	}
	return info.Config.MaxBytes > 0 && info.State.Bytes > uint64(info.Config.MaxBytes)/2, nil
}

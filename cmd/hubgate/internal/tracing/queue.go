package tracing

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// maxQueue is how many spans may wait for the collector, about a kilobyte each;
	// maxBatch go to it at a time, and every batchEvery what there is.
	maxQueue   = 4096
	maxBatch   = 512
	batchEvery = 2 * time.Second
	// quiet is for how long the log does not say again what it has said.
	quiet = time.Minute
)

// Stats counts spans by what has become of them.
type Stats struct {
	Exported uint64 // the collector has taken them
	Failed   uint64 // it would not, or was away, or has refused them in a batch that it took
	Dropped  uint64 // too many waited
}

// queue is the spans that wait for the collector: the SDK's batches, with a bound
// that is counted. Ends of spans never wait for it.
type queue struct {
	sdktrace.SpanProcessor // batches, which go to export

	collector sdktrace.SpanExporter
	log       zerolog.Logger

	waiting                   atomic.Int64
	exported, failed, dropped atomic.Uint64

	// Owned by the one who exports.
	away    bool   // the log has told that the collector is
	told    uint64 // of dropped, how many the log has told of
	refused uint64 // of batches that were taken; the log has not told of them

	quietAway, quietDrops, quietRefused time.Time
}

var (
	_ sdktrace.SpanProcessor = (*queue)(nil)
	_ sdktrace.SpanExporter  = (*export)(nil)
)

func newQueue(collector sdktrace.SpanExporter, log zerolog.Logger) *queue {
	q := &queue{collector: collector, log: log}
	q.SpanProcessor = sdktrace.NewBatchSpanProcessor((*export)(q),
		sdktrace.WithMaxQueueSize(maxQueue), sdktrace.WithMaxExportBatchSize(maxBatch),
		sdktrace.WithBatchTimeout(batchEvery), sdktrace.WithExportTimeout(exportTime+exportRetry))
	return q
}

// OnEnd implements [sdktrace.SpanProcessor]. It takes a span, or drops it. What
// waits for the SDK is never more than it has room for, so that it drops none.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if q.waiting.Add(1) > maxQueue {
		q.waiting.Add(-1)
		q.dropped.Add(1)
		return
	}
	q.SpanProcessor.OnEnd(s)
}

func (q *queue) stats() Stats {
	return Stats{Exported: q.exported.Load(), Failed: q.failed.Load(), Dropped: q.dropped.Load()}
}

// export is the queue as the SDK sees it: where batches go, one at a time.
type export queue

// ExportSpans implements [sdktrace.SpanExporter]. It has no error for the SDK,
// which could but complain for each batch.
func (e *export) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.collector.ExportSpans(ctx, spans)
	n := len(spans)
	e.waiting.Add(int64(-n))
	lost := uint64(0)
	if part, ok := errors.AsType[*refusedError](err); ok {
		lost = min(uint64(part.spans), uint64(n)) //nolint:gosec // both are positive
		e.refused += lost
		err = nil
	} else if err != nil {
		lost = uint64(n) //nolint:gosec // a length
	}
	e.failed.Add(lost)
	e.exported.Add(uint64(n) - lost) //nolint:gosec // a length
	e.tell(err, time.Now())
	return nil
}

// tell logs that the collector has gone or come back, and how many spans were
// refused or dropped: each once a minute at most, however it goes on and off.
func (e *export) tell(err error, now time.Time) {
	if err != nil {
		if !e.away && !now.Before(e.quietAway) {
			e.away, e.quietAway = true, now.Add(quiet)
			e.log.Warn().Err(err).Msg("the collector of tracing.otlp_endpoint does not take traces; they are lost until it does, and devices notice nothing")
		}
		return
	}
	if e.away {
		e.away = false
		e.log.Info().Uint64("lost", e.failed.Load()).Msg("the collector takes traces again")
	}
	if e.refused > 0 && !now.Before(e.quietRefused) {
		e.log.Warn().Uint64("refused", e.refused).
			Msg("the collector takes batches of traces and refuses spans of them, and devices notice nothing: it knows why")
		e.refused, e.quietRefused = 0, now.Add(quiet)
	}
	if dropped := e.dropped.Load(); dropped > e.told && !now.Before(e.quietDrops) {
		e.log.Warn().Uint64("dropped", dropped-e.told).
			Msg("more is traced than the collector takes; spans were dropped, and devices notice nothing: lower tracing.sample")
		e.told, e.quietDrops = dropped, now.Add(quiet)
	}
}

// Shutdown implements [sdktrace.SpanExporter].
func (e *export) Shutdown(ctx context.Context) error { return e.collector.Shutdown(ctx) }

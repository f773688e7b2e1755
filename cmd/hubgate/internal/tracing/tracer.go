package tracing

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-logr/logr"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/hubgate/hubgate/span"
)

// Config says what is traced and where it goes.
type Config struct {
	URL     string            // where the collector takes traces
	Headers map[string]string // that it wants; secrets
	TLS     *tls.Config       // of an https URL; nil: the system's authorities
	// Sample is the share of what is traced if its sender says nothing, 0 to 1.
	Sample float64
	// Node, Hub and Version are who traces.
	Node, Hub, Version string
	// Log hears that the collector is away, and that it is there again.
	Log zerolog.Logger
}

const (
	// closeTime bounds what Close waits for.
	closeTime = 3 * time.Second
	// maxAttribute is the length of the longest attribute: that of a topic with two
	// ids. There are fewer than maxAttributes.
	maxAttribute, maxAttributes = 512, 32
)

// Tracer makes spans and sends them. It is a [span.Tracer].
type Tracer struct {
	sample   float64
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
	queue    *queue
}

var _ span.Tracer = (*Tracer)(nil)

// Start returns a tracer that sends to the collector of cfg until Close. That the
// collector is there is not needed.
func Start(cfg Config) (*Tracer, error) {
	otel.SetLogger(logr.Discard()) // else it would write to standard error, in a form of its own
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		cfg.Log.Debug().Err(err).Msg("the OpenTelemetry SDK has a complaint")
	}))
	exporter, err := otlptrace.New(context.Background(), newClient(cfg))
	if err != nil {
		return nil, fmt.Errorf("prepare to send traces: %w", err)
	}
	return newTracer(cfg, exporter), nil
}

func newTracer(cfg Config, exporter sdktrace.SpanExporter) *Tracer {
	q := newQueue(exporter, cfg.Log)
	who := resource.NewSchemaless(
		semconv.ServiceName("hubgate"), semconv.ServiceInstanceID(cfg.Node), semconv.ServiceVersion(cfg.Version),
		attribute.String("hubgate.hub", cfg.Hub),
	)
	limits := sdktrace.SpanLimits{AttributeValueLengthLimit: maxAttribute, AttributeCountLimit: maxAttributes} // no events, no links
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(q), sdktrace.WithResource(who), sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // Begin has decided before
	)
	return &Tracer{
		sample: cfg.Sample, provider: provider, queue: q,
		tracer: provider.Tracer("github.com/hubgate/hubgate", trace.WithInstrumentationVersion(cfg.Version)),
	}
}

// Close sends what waits, for a few seconds at most, and takes nothing more.
func (t *Tracer) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	err := t.provider.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the collector has not taken the last traces within %v", closeTime)
	}
	return err
}

// Seam is the tracer as the parts of a node have it: nil if t is, for then nothing
// is traced.
func (t *Tracer) Seam() span.Tracer {
	if t == nil {
		return nil
	}
	return t
}

// Stats is what has become of spans; nothing if t is nil.
func (t *Tracer) Stats() Stats {
	if t == nil {
		return Stats{}
	}
	return t.queue.stats()
}

// Begin implements [span.Tracer].
func (t *Tracer) Begin(op span.Op, about span.About, from span.Context) (span.Span, span.Context) {
	parent := parse(from)
	switch {
	case parent.IsSampled():
	case parent.IsValid():
		return nil, format(parent) // whoever has begun the trace does not want it kept
	case !op.Begins() || rand.Float64() >= t.sample: //nolint:gosec // no secret
		return nil, span.Context{}
	}
	ctx := trace.ContextWithSpanContext(context.Background(), parent)
	how := []trace.SpanStartOption{trace.WithSpanKind(kinds[op]), trace.WithAttributes(attributes(op, about)...)}
	if !about.Began.IsZero() {
		how = append(how, trace.WithTimestamp(about.Began))
	}
	_, s := t.tracer.Start(ctx, name(op, about), how...)
	next := format(s.SpanContext())
	next.Here = true
	return operation{op, s}, next
}

// operation is a span that is kept.
type operation struct {
	op   span.Op
	span trace.Span
}

// End implements [span.Span].
func (o operation) End(how span.Outcome) {
	o.span.SetAttributes(results(o.op, how)...)
	if how.Err != nil {
		o.span.SetStatus(status(how.Err))
	}
	o.span.End()
}

// parse reads a context; what is malformed there is none.
func parse(c span.Context) trace.SpanContext {
	if c.IsZero() {
		return trace.SpanContext{}
	}
	in := carrier(c) // not c, which would be allocated for none too
	ctx := propagation.TraceContext{}.Extract(context.Background(), &in)
	return trace.SpanContextFromContext(ctx).WithRemote(!c.Here)
}

// format is the inverse of parse.
func format(s trace.SpanContext) span.Context {
	var c span.Context
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), s), (*carrier)(&c))
	return c
}

// carrier is a context as OpenTelemetry reads and writes it.
type carrier span.Context

var _ propagation.TextMapCarrier = (*carrier)(nil)

// Get implements [propagation.TextMapCarrier].
func (c *carrier) Get(key string) string {
	switch key {
	case span.HeaderParent:
		return c.Parent
	case span.HeaderState:
		return c.State
	default:
		return ""
	}
}

// Set implements [propagation.TextMapCarrier].
func (c *carrier) Set(key, value string) {
	switch key {
	case span.HeaderParent:
		c.Parent = value
	case span.HeaderState:
		c.State = value
	}
}

// Keys implements [propagation.TextMapCarrier].
func (c *carrier) Keys() []string { return []string{span.HeaderParent, span.HeaderState} }

package tracing

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/hubgate/hubgate/span"
)

// stuck is a collector that takes nothing until it is let go.
type stuck struct {
	began chan struct{} // has a value for each batch
	goOn  chan struct{}
}

func newStuck() stuck { return stuck{make(chan struct{}, 1000), make(chan struct{})} }

func (s stuck) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	s.began <- struct{}{}
	select {
	case <-s.goOn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (stuck) Shutdown(context.Context) error { return nil }

// TestQueueIsBounded: a collector that hangs keeps nobody waiting; what there is no
// room for is dropped, counted and told of once.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	to := newStuck()
	var log bytes.Buffer
	tracer := newTracer(Config{Sample: 1, Log: zerolog.New(&log)}, to)
	const more = 100
	for range maxQueue + more {
		s, _ := tracer.Begin(span.Message, device("d"), span.Context{})
		s.End(span.Outcome{})
	}
	if got := tracer.Stats(); got.Dropped != more || got.Exported != 0 {
		t.Errorf("%+v, want %d dropped", got, more)
	}
	<-to.began
	close(to.goOn)
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := tracer.Stats(); got != (Stats{Exported: maxQueue, Dropped: more}) {
		t.Errorf("%+v, want %d exported and %d dropped", got, maxQueue, more)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), `"dropped":100`) {
		t.Errorf("the log has\n%s", &log)
	}
}

// TestCloseIsBounded: a collector that hangs does not keep a node from stopping.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	to := newStuck()
	tracer := newTracer(Config{Sample: 1}, to)
	s, _ := tracer.Begin(span.Message, device("d"), span.Context{})
	s.End(span.Outcome{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-to.began
		cancel()
	}()
	if err := tracer.Close(ctx); err == nil {
		t.Error("what was not sent is said to be")
	}
	close(to.goOn)
}

// TestTell: the log tells of a collector that goes and comes once a minute at most.
func TestTell(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := &export{log: zerolog.New(&log)}
	began := time.Now()
	gone := errors.New("gone")
	for i, step := range []struct {
		after   time.Duration
		err     error
		dropped uint64
		says    string // empty: nothing
	}{
		{0, nil, 0, ""},
		{time.Second, gone, 0, "does not take traces"},
		{2 * time.Second, gone, 5, ""},
		{3 * time.Second, nil, 5, "takes traces again"},
		{4 * time.Second, nil, 6, ""},
		{5 * time.Second, gone, 6, ""}, // said a moment ago
		{6 * time.Second, nil, 6, ""},
		{63 * time.Second, gone, 6, "does not take traces"},
		{64 * time.Second, nil, 7, "takes traces again"},
	} {
		log.Reset()
		e.dropped.Store(step.dropped)
		e.tell(step.err, began.Add(step.after))
		if step.says == "" && strings.Contains(log.String(), "traces") || !strings.Contains(log.String(), step.says) {
			t.Errorf("step %d logs %q, want %q", i, &log, step.says)
		}
	}
	if e.told != 7 {
		t.Errorf("the log has told of %d that were dropped, want 7", e.told)
	}
}

package tracing

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
)

const (
	sampled   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// kept is a collector that forgets nothing when it is closed.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

// recorded returns a tracer, and what ends it and returns its spans.
func recorded(t *testing.T, sample float64) (tracer *Tracer, spans func() tracetest.SpanStubs) {
	t.Helper()
	to := kept{tracetest.NewInMemoryExporter()}
	tracer = newTracer(Config{Sample: sample, Node: "n", Hub: "h", Version: "1"}, to)
	return tracer, func() tracetest.SpanStubs {
		t.Helper()
		if err := tracer.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return to.GetSpans()
	}
}

func device(id string) span.About { return span.About{ID: hub.Identity{Device: id}} }

// TestBegin: who is in a trace, and where it goes on.
func TestBegin(t *testing.T) {
	t.Parallel()
	const state = "a=1,b=2"
	for name, tt := range map[string]struct {
		op     span.Op
		sample float64
		from   span.Context
		kept   bool
		next   string // begins so; empty: none
	}{
		"sampled":            {span.Message, 0, span.Context{Parent: sampled, State: state}, true, sampled[:36]},
		"not sampled":        {span.Message, 1, span.Context{Parent: unsampled, State: state}, false, unsampled},
		"none, share of 0":   {span.Message, 0, span.Context{}, false, ""},
		"none, share of 1":   {span.Call, 1, span.Context{}, true, "00-"},
		"malformed":          {span.Message, 0, span.Context{Parent: "00-xyz", State: state}, false, ""},
		"malformed, all":     {span.Message, 1, span.Context{Parent: "00-xyz"}, true, "00-"},
		"upper case":         {span.Message, 0, span.Context{Parent: strings.ToUpper(sampled)}, false, ""},
		"of the future":      {span.Message, 0, span.Context{Parent: "01" + sampled[2:] + "-more"}, true, sampled[:36]},
		"a part":             {span.Store, 0, span.Context{Parent: sampled, Here: true}, true, sampled[:36]},
		"a part of no trace": {span.Store, 1, span.Context{}, false, ""},
		"a part of nonsense": {span.Ask, 1, span.Context{Parent: "x"}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tracer, spans := recorded(t, tt.sample)
			s, next := tracer.Begin(tt.op, device("d"), tt.from)
			if (s != nil) != tt.kept || next.Here != tt.kept {
				t.Fatalf("the span is %v, and goes on here: %v", s, next.Here)
			}
			if !strings.HasPrefix(next.Parent, tt.next) || (tt.next == "") != next.IsZero() {
				t.Errorf("the trace goes on as %q, want %q", next.Parent, tt.next)
			}
			if tt.next != "" && next.State != tt.from.State {
				t.Errorf("the state goes on as %q, want %q", next.State, tt.from.State)
			}
			if s == nil {
				return
			}
			s.End(span.Outcome{})
			got := spans()[0]
			if next.Parent == tt.from.Parent || !strings.Contains(next.Parent, got.SpanContext.SpanID().String()) {
				t.Errorf("the trace goes on as %q, and the span is %s", next.Parent, got.SpanContext.SpanID())
			}
			if got.Parent.IsValid() && got.Parent.IsRemote() == tt.from.Here {
				t.Errorf("the parent is remote: %v", got.Parent.IsRemote())
			}
		})
	}
}

// TestShare: about as many are traced as are to be.
func TestShare(t *testing.T) {
	t.Parallel()
	tracer, _ := recorded(t, 0.25)
	n := 0
	for range 10_000 {
		if s, _ := tracer.Begin(span.Message, device("d"), span.Context{}); s != nil {
			n++
		}
	}
	if n < 2000 || n > 3000 { // 11 standard deviations
		t.Errorf("%d of 10000 were traced, want 2500", n)
	}
}

// TestNotTracedIsFree: a message that is in no trace costs no allocation.
func TestNotTracedIsFree(t *testing.T) {
	tracer, _ := recorded(t, 0)
	about := device("d")
	if n := testing.AllocsPerRun(1000, func() { tracer.Begin(span.Message, about, span.Context{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestFailure: a span says what went wrong by IoT Hub's code, and nothing of the
// sentence, which may have what was sent.
func TestFailure(t *testing.T) {
	t.Parallel()
	tracer, spans := recorded(t, 1)
	s, _ := tracer.Begin(span.Call, span.About{ID: hub.Identity{Device: "d", Module: "m"}, Method: strings.Repeat("x", 70_000)}, span.Context{})
	s.End(span.Outcome{Err: hub.Errorf(hub.GatewayTimeout, "secret")})
	got := spans()[0]
	if got.Status.Code != codes.Error || got.Status.Description != hub.GatewayTimeout.Hint() || len(got.Name) > 200 {
		t.Errorf("the span %.200s has the status %+v", got.Name, got.Status)
	}
	found := map[string]string{}
	for _, a := range got.Attributes {
		found[string(a.Key)] = a.Value.String()
		if len(a.Value.String()) > maxAttribute {
			t.Errorf("%s has %d bytes", a.Key, len(a.Value.String()))
		}
	}
	if found["error.type"] != "GatewayTimeout" || found["hubgate.error.code"] != "504101" || found["hubgate.module_id"] != "m" {
		t.Errorf("the attributes are %v", found)
	}
}

// TestNil: without a tracer there is no seam, which is what the parts of a node look
// at.
func TestNil(t *testing.T) {
	t.Parallel()
	var none *Tracer
	if none.Seam() != nil || none.Stats() != (Stats{}) {
		t.Error("nothing is something")
	}
}

// FuzzContext: whatever a device or a back end says of a trace, what goes on from it
// is well-formed and fit for a header, and goes on unchanged.
func FuzzContext(f *testing.F) {
	for _, parent := range []string{sampled, unsampled, "", "00-", "ff" + sampled[2:], sampled + "-", "01" + sampled[2:] + "-x", strings.ToUpper(sampled)} {
		f.Add(parent, "a=1, b=2")
	}
	f.Add(sampled, "a=\r\nNats-Msg-Id: x")
	tracer := newTracer(Config{}, tracetest.NewNoopExporter())
	f.Fuzz(func(t *testing.T, parent, state string) {
		from := span.Context{Parent: parent, State: state}
		s, next := tracer.Begin(span.Message, device("d"), from)
		if next.IsZero() {
			if s != nil || next != (span.Context{}) {
				t.Fatalf("a trace that goes on nowhere has the span %v and the state %q", s, next.State)
			}
			return
		}
		if len(next.Parent) != 55 || strings.Trim(next.Parent, "0123456789abcdef-") != "" {
			t.Errorf("the trace goes on as %q", next.Parent)
		}
		if strings.ContainsFunc(next.State, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("the state goes on as %q", next.State)
		}
		if again := format(parse(next)); again.Parent != next.Parent || again.State != next.State {
			t.Errorf("%+v goes on as %+v", next, again)
		}
		if s != nil {
			s.End(span.Outcome{})
		}
	})
}

// BenchmarkBegin is what a message costs that is in no trace, and one that is.
func BenchmarkBegin(b *testing.B) {
	about := device("d")
	for name, from := range map[string]span.Context{"none": {}, "unsampled": {Parent: unsampled}, "sampled": {Parent: sampled}} {
		b.Run(name, func(b *testing.B) {
			tracer := newTracer(Config{}, tracetest.NewNoopExporter())
			b.ReportAllocs()
			for b.Loop() {
				if s, _ := tracer.Begin(span.Message, about, from); s != nil {
					s.End(span.Outcome{})
				}
			}
		})
	}
}

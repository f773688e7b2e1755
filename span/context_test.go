package span_test

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/span"
)

func TestOf(t *testing.T) {
	t.Parallel()
	long, longer := strings.Repeat("x", 512), strings.Repeat("x", 513)
	parent := strings.Repeat("p", 128)
	for name, tt := range map[string]struct {
		headers map[string][]string
		want    span.Context
	}{
		"none":             {nil, span.Context{}},
		"others":           {map[string][]string{"traceparen": {"a"}, "trace-parent": {"b"}, "Traceparents": {"c"}}, span.Context{}},
		"as long":          {map[string][]string{"traceparent": {"p"}, "trace-stat": {"s"}, "trace-state": {"t"}}, span.Context{Parent: "p"}},
		"both":             {map[string][]string{"traceparent": {"p"}, "tracestate": {"s"}}, span.Context{Parent: "p", State: "s"}},
		"as HTTP has it":   {map[string][]string{"Traceparent": {"p"}, "Tracestate": {"s", "t"}}, span.Context{Parent: "p", State: "s,t"}},
		"state alone":      {map[string][]string{"tracestate": {"s"}}, span.Context{}},
		"two parents":      {map[string][]string{"traceparent": {"p", "q"}, "tracestate": {"s"}}, span.Context{}},
		"no value":         {map[string][]string{"traceparent": {}, "tracestate": {}}, span.Context{}},
		"longest state":    {map[string][]string{"traceparent": {"p"}, "tracestate": {long}}, span.Context{Parent: "p", State: long}},
		"too long a state": {map[string][]string{"traceparent": {"p"}, "tracestate": {longer}}, span.Context{Parent: "p"}},
		"longest":          {map[string][]string{"traceparent": {parent}}, span.Context{Parent: parent}},
		"by one too long":  {map[string][]string{"traceparent": {parent + "p"}}, span.Context{}},
		"too long":         {map[string][]string{"traceparent": {longer}, "tracestate": {"s"}}, span.Context{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := span.Of(tt.headers)
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			again := map[string][]string{}
			got.Put(again)
			if span.Of(again) != got || got.IsZero() && len(again) > 0 {
				t.Errorf("%+v is written as %v", got, again)
			}
			if _, state := again["tracestate"]; state != (got.State != "") {
				t.Errorf("%+v is written as %v", got, again)
			}
		})
	}
}

func TestBegins(t *testing.T) {
	t.Parallel()
	for op, want := range map[span.Op]bool{span.Message: true, span.Call: true, span.Store: false, span.Ask: false} {
		if op.Begins() != want {
			t.Errorf("a trace may begin with %d: %v", op, !want)
		}
	}
}

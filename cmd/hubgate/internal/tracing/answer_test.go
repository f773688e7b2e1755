package tracing

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/hubgate/hubgate/span"
)

// partly is the answer of a collector that has refused n spans.
func partly(tb testing.TB, n int64) []byte {
	tb.Helper()
	answer, err := proto.Marshal(&collector.ExportTraceServiceResponse{
		PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: n, ErrorMessage: "they are too long"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return answer
}

// TestRefusedSpans: spans that the collector has refused of a batch are counted as
// failed, the others as exported, and the log tells of it once.
func TestRefusedSpans(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer []byte
		kind   string
		failed uint64
	}{
		"some":          {partly(t, 2), protobuf, 2},
		"a warning":     {partly(t, 0), protobuf, 0},
		"more than all": {partly(t, 1<<40), protobuf, 3},
		"negative":      {partly(t, -1), protobuf, 0},
		"nothing":       {nil, protobuf, 0},
		"malformed":     {[]byte{0x0A, 0x7F, 0x08}, protobuf, 0},
		"JSON":          {partly(t, 2), "application/json", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				w.Write(tt.answer)
			})
			var log bytes.Buffer
			tracer, err := Start(Config{URL: url, Sample: 1, Log: zerolog.New(&log)})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				s, _ := tracer.Begin(span.Message, device("d"), span.Context{})
				s.End(span.Outcome{})
			}
			if err := tracer.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := tracer.Stats(), (Stats{Exported: 3 - tt.failed, Failed: tt.failed}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			if strings.Contains(log.String(), "refuses spans") != (tt.failed > 0) || strings.Contains(log.String(), "does not take") {
				t.Errorf("the log has %s", &log)
			}
		})
	}
}

// FuzzRefused: an answer is read as protobuf's own code reads it, and what that does
// not read does no harm.
func FuzzRefused(f *testing.F) {
	for _, n := range []int64{0, 1, -1, 1 << 40} {
		f.Add(partly(f, n))
	}
	f.Add(bytes.Repeat(partly(f, 3), 2))
	f.Fuzz(func(t *testing.T, answer []byte) {
		got := refused(answer)
		var want collector.ExportTraceServiceResponse
		if proto.Unmarshal(answer, &want) == nil && got != want.GetPartialSuccess().GetRejectedSpans() {
			t.Errorf("%d spans were refused, want %d", got, want.GetPartialSuccess().GetRejectedSpans())
		}
	})
}

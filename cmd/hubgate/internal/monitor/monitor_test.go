package monitor_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/monitor"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/tracing"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/iothub"
	"github.com/hubgate/hubgate/gateway/rest"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/meter"
	"github.com/hubgate/hubgate/twin"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/metrics.md")

// sources has a number for everything.
func sources() monitor.Sources {
	var took meter.Operation
	took.Done(time.Now(), nil)
	twins := &monitor.Twins{}
	twins.Observe(twin.Read, time.Now(), nil)
	twins.Observe(twin.Updated, time.Now(), hub.Errorf(hub.DeviceNotFound, "x"))
	twins.Observe(twin.Replaced, time.Now(), nil)
	return monitor.Sources{
		Build: monitor.Build{Version: "v1", Commit: "c", Go: "go1", Node: "n", Hub: "h"},
		Gateway: func() gateway.Stats {
			s := (&gateway.Server{}).Stats()
			s.Handshakes, s.Messages = took.Counts(), 7
			return s
		},
		Face:     func() iothub.Stats { return (&iothub.Face{}).Stats() },
		Throttle: gateway.NewLimiter(gateway.Rates{}).Counts,
		Backend: func() backend.Stats {
			return backend.Stats{
				Connections: []backend.ConnectionStats{{Role: "main", Connected: true, Reconnects: 2}},
				Requests: []backend.RequestStats{
					{Service: "method", Operation: "invoke", Counts: took.Counts()}, {Service: "twin", Operation: "get", Counts: took.Counts()},
				},
				Nodes:      map[backend.NodeCycle]int{backend.NodeUp: 2},
				Feeds:      []backend.FeedStats{{Bucket: "hub_devices", Applied: 3, Complete: true}},
				C2DSettled: map[c2d.Status]uint64{c2d.Success: 1, c2d.Expired: 2, c2d.DeliveryCountExceeded: 3, c2d.Rejected: 4, c2d.Purged: 5},
			}
		},
		Timeline: func() (map[hub.Code]uint64, uint64) { return map[hub.Code]uint64{hub.Unauthorized: 4}, 1 },
		Twins:    twins,
		Traces:   func() tracing.Stats { return tracing.Stats{Exported: 1, Failed: 2, Dropped: 3} },
		Web: func() monitor.Web {
			return monitor.Web{Routes: []rest.RouteStats{{Verb: "GET", Route: "/devices/{id}", Status: map[int]uint64{200: 1}}, {Verb: "other", Status: map[int]uint64{404: 1}}}, InFlight: 1, Most: 2}
		},
		Ready:    func(context.Context) map[string]bool { return map[string]bool{"nats": true, "index": false} },
		Draining: func() bool { return false },
		Endings: func() []monitor.Ending {
			return []monitor.Ending{{"server", "h", time.Unix(200, 0)}, {"server", "h", time.Unix(100, 0)}}
		},
		FreeBytes: func() int64 { return 5 },
		Sample: func() *backend.Sample {
			return &backend.Sample{At: time.Unix(1, 0), Streams: []backend.StreamState{{Name: "HUB_TELEMETRY", MaxBytes: -1}}, Behind: map[string]uint64{"hub_devices": 1}}
		},
		Jobs: func() (int, int) { return 1, 2 }, Configurations: func() int { return 3 },
	}
}

func gather(t *testing.T, s monitor.Sources) map[string]*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(monitor.New(s)); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*dto.MetricFamily{}
	for _, f := range families {
		all[f.GetName()] = f
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	return all
}

// TestEveryMetric holds the table: all that is in it is shown, with its labels and
// its type, and nothing else is.
func TestEveryMetric(t *testing.T) {
	t.Parallel()
	found := gather(t, sources())
	for _, section := range monitor.Sections() {
		for _, m := range section.Metrics {
			f := found[m.Name]
			if f == nil {
				t.Errorf("%s is in the table, and is not shown", m.Name)
				continue
			}
			if got := strings.ToLower(f.GetType().String()); got != string(m.Kind) {
				t.Errorf("%s is a %s, and the table says %s", m.Name, got, m.Kind)
			}
			var labels []string
			for _, l := range f.GetMetric()[0].GetLabel() {
				labels = append(labels, l.GetName())
			}
			if slices.Sort(labels); !slices.Equal(labels, slices.Sorted(slices.Values(m.Labels))) {
				t.Errorf("%s has the labels %v, and the table says %v", m.Name, labels, m.Labels)
			}
			delete(found, m.Name)
		}
	}
	for name := range found {
		t.Errorf("%s is shown, and is not in the table", name)
	}
}

func value(t *testing.T, f *dto.MetricFamily, labels map[string]string) float64 {
	t.Helper()
	for _, m := range f.GetMetric() {
		got := map[string]string{}
		for _, l := range m.GetLabel() {
			got[l.GetName()] = l.GetValue()
		}
		if maps.Equal(got, labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Errorf("%s has no series %v", f.GetName(), labels)
	return -1
}

func TestValues(t *testing.T) {
	t.Parallel()
	found := gather(t, sources())
	for name, want := range map[string]struct {
		labels map[string]string
		value  float64
	}{
		"hubgate_ready":                                {nil, 0}, // the index is not
		"hubgate_readiness_check":                      {map[string]string{"check": "nats"}, 1},
		"hubgate_certificate_expiry_timestamp_seconds": {map[string]string{"kind": "server", "name": "h"}, 100},
		"hubgate_timeline_entries_total":               {map[string]string{"code": "401003", "error": "IotHubUnauthorized"}, 4},
		"hubgate_nats_reconnects_total":                {map[string]string{"connection": "main"}, 2},
		"hubgate_twin_operations_total":                {map[string]string{"by": "backend", "operation": "update", "outcome": "refused"}, 1},
		"hubgate_c2d_settled_total":                    {map[string]string{"result": "delivery_count_exceeded"}, 3},
		"hubgate_direct_methods_total":                 {map[string]string{"outcome": "success"}, 1},
		"hubgate_service_requests_total":               {map[string]string{"service": "twin", "operation": "get", "outcome": "success"}, 1},
		"hubgate_http_requests_total":                  {map[string]string{"method": "other", "route": "none", "status": "404"}, 1},
		"hubgate_nodes":                                {map[string]string{"state": "up"}, 2},
		"hubgate_stream_max_bytes":                     {map[string]string{"stream": "HUB_TELEMETRY"}, 0},
		"hubgate_disconnects_total":                    {map[string]string{"code": "0", "error": "none"}, 0},
	} {
		if got := value(t, found[name], want.labels); got != want.value {
			t.Errorf("%s%v is %g, want %g", name, want.labels, got, want.value)
		}
	}
}

// TestWithoutNATS shows what is known while NATS is away, and no old samples.
func TestWithoutNATS(t *testing.T) {
	t.Parallel()
	s := sources()
	s.Sample = func() *backend.Sample { return nil }
	s.FreeBytes = func() int64 { return -1 }
	found := gather(t, s)
	for _, name := range []string{"hubgate_stream_bytes", "hubgate_nats_rtt_seconds", "hubgate_data_dir_free_bytes"} {
		if found[name] != nil {
			t.Errorf("%s is shown", name)
		}
	}
	if found["hubgate_connections"] == nil {
		t.Error("connections are not shown")
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	monitor.Handler(sources()).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"hubgate_build_info{", "go_goroutines ", "process_open_fds ", "# TYPE hubgate_puback_duration_seconds histogram"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("there is no %q", want)
		}
	}
}

func TestSampler(t *testing.T) {
	t.Parallel()
	var sample backend.Sample
	var fail error
	s := monitor.Sampler{Ask: func(context.Context) (backend.Sample, error) { return sample, fail }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // one look
	if s.Run(ctx); s.Last() != nil {
		t.Error("a sample of the year 1 counts")
	}
	sample = backend.Sample{At: time.Now(), RTT: time.Millisecond}
	if s.Run(ctx); s.Last() == nil || s.Last().RTT != time.Millisecond {
		t.Errorf("%v", s.Last())
	}
	sample, fail = backend.Sample{At: time.Now(), RTT: time.Hour}, hub.Errorf(hub.ServiceUnavailable, "away")
	if s.Run(ctx); s.Last().RTT != time.Millisecond {
		t.Error("a failed sample has replaced a good one")
	}
}

func page() string { return filepath.Join("..", "..", "..", "..", "docs", "metrics.md") }

const begin, end = "<!-- metrics: go test ./cmd/hubgate/internal/monitor -update -->\n", "<!-- metrics end -->\n"

// TestDocs holds the tables of docs/metrics.md. With -update it writes them.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page())
	if err != nil {
		t.Fatal(err)
	}
	before, old, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(old, end)
	if !ok || !ok2 {
		t.Fatalf("docs/metrics.md has no place for the tables, between %q and %q", begin, end)
	}
	want := before + begin + tables() + end + after
	if *update {
		if err := os.WriteFile(page(), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Error("docs/metrics.md is stale: run go test ./cmd/hubgate/internal/monitor -update")
	}
}

func tables() string {
	var b strings.Builder
	for _, s := range monitor.Sections() {
		fmt.Fprintf(&b, "\n### %s\n\n| name | type | labels | meaning |\n| --- | --- | --- | --- |\n", s.Title)
		for _, m := range s.Metrics {
			labels := ""
			if len(m.Labels) > 0 {
				labels = "`" + strings.Join(m.Labels, "`, `") + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Kind, labels, m.Help)
		}
	}
	return b.String() + "\n"
}

package monitoring

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// healthy is a node on which all is well, in the notation of Prometheus' own tests:
// a value, then + what each minute adds x how many minutes. The clock begins at 0,
// and a test looks at it after an hour.
const healthy = `
up{job="hubgate",instance="a"} 1+0x400
hubgate_ready{job="hubgate",instance="a"} 1+0x400
hubgate_draining{job="hubgate",instance="a"} 0+0x400
hubgate_build_info{job="hubgate",instance="a",version="1",commit="c"} 1+0x400
hubgate_build_info{job="hubgate",instance="b",version="1",commit="c"} 1+0x400
hubgate_store_flowing{job="hubgate",instance="a",stream="telemetry"} 1+0x400
hubgate_store_waiting{job="hubgate",instance="a",stream="telemetry"} 0+0x400
hubgate_store_messages_total{job="hubgate",instance="a",stream="telemetry",outcome="failed"} 3+0x400
hubgate_store_messages_total{job="hubgate",instance="a",stream="telemetry",outcome="stored"} 0+6000x400
hubgate_store_duration_seconds_bucket{job="hubgate",instance="a",stream="telemetry",le="0.1"} 0+6000x400
hubgate_store_duration_seconds_bucket{job="hubgate",instance="a",stream="telemetry",le="1"} 0+6000x400
hubgate_store_duration_seconds_bucket{job="hubgate",instance="a",stream="telemetry",le="5"} 0+6000x400
hubgate_store_duration_seconds_bucket{job="hubgate",instance="a",stream="telemetry",le="+Inf"} 0+6000x400
hubgate_nats_connected{job="hubgate",instance="a",connection="main"} 1+0x400
hubgate_connects_total{job="hubgate",instance="a",transport="tls"} 0+600x400
hubgate_connects_refused_total{job="hubgate",instance="a",code="401003",error="IotHubUnauthorized"} 0+30x400
hubgate_disconnects_total{job="hubgate",instance="a",code="404104",error="x"} 0+10x400
hubgate_connections{job="hubgate",instance="a",transport="tls"} 1000+0x400
hubgate_throttled_total{job="hubgate",instance="a",limit="messages",action="slowed"} 0+10x400
hubgate_client_memory_bytes{job="hubgate",instance="a"} 100+0x400
hubgate_client_memory_limit_bytes{job="hubgate",instance="a"} 1000+0x400
hubgate_certificate_expiry_timestamp_seconds{job="hubgate",instance="a",kind="server",name="h"} 5000000+0x400
hubgate_certificate_expiry_timestamp_seconds{job="hubgate",instance="a",kind="revocation list",name="weekly"} 300000+0x400
hubgate_data_dir_free_bytes{job="hubgate",instance="a"} 90000000000+0x400
hubgate_stream_bytes{job="hubgate",instance="a",stream="KV_hub_devices"} 80+0x400
hubgate_stream_max_bytes{job="hubgate",instance="a",stream="KV_hub_devices"} 100+0x400
hubgate_stream_bytes{job="hubgate",instance="a",stream="HUB_TELEMETRY"} 100+0x400
hubgate_stream_max_bytes{job="hubgate",instance="a",stream="HUB_TELEMETRY"} 100+0x400
hubgate_stream_replicas{job="hubgate",instance="a",stream="HUB_TELEMETRY"} 3+0x400
hubgate_stream_replicas_current{job="hubgate",instance="a",stream="HUB_TELEMETRY"} 3+0x400
hubgate_stream_replica_lag{job="hubgate",instance="a",stream="HUB_TELEMETRY"} 5+0x400
hubgate_index_lag_revisions{job="hubgate",instance="a",bucket="hub_twins"} 2+0x400
hubgate_index_complete{job="hubgate",instance="a",bucket="hub_twins"} 1+0x400
hubgate_events_dropped_total{job="hubgate",instance="a"} 7+0x400
hubgate_nodes{job="hubgate",instance="a",state="up"} 2+0x400
hubgate_nodes{job="hubgate",instance="a",state="dead"} 0+0x400
hubgate_direct_methods_total{job="hubgate",instance="a",outcome="success"} 0+60x400
hubgate_direct_methods_total{job="hubgate",instance="a",outcome="failed"} 0+3x400
hubgate_http_requests_total{job="hubgate",instance="a",method="GET",route="/devices/{id}",status="200"} 0+60x400
hubgate_http_requests_total{job="hubgate",instance="a",method="GET",route="/devices/{id}",status="503"} 0+1x400
process_open_fds{job="hubgate",instance="a"} 100+0x400
process_max_fds{job="hubgate",instance="a"} 1000+0x400
`

// troubles is what makes each alert fire: series in place of those of healthy with
// the same labels, or beside them.
var troubles = map[string]string{
	"HubgateNodeDown":           `up{job="hubgate",instance="a"} 0+0x400`,
	"HubgateNodeNotReady":       `hubgate_ready{job="hubgate",instance="a"} 0+0x400`,
	"HubgateCannotStore":        `hubgate_store_flowing{job="hubgate",instance="a",stream="telemetry"} 0+0x400`,
	"HubgateNATSDisconnected":   `hubgate_nats_connected{job="hubgate",instance="a",connection="main"} 0+0x400`,
	"HubgateStoreSlow":          `hubgate_store_duration_seconds_bucket{job="hubgate",instance="a",stream="telemetry",le="1"} 0+5900x400` + "\n" + `hubgate_store_duration_seconds_bucket{job="hubgate",instance="a",stream="telemetry",le="0.1"} 0+5900x400`,
	"HubgateStoreFull":          `hubgate_store_waiting{job="hubgate",instance="a",stream="telemetry"} 1+0x400`,
	"HubgateRefusals":           `hubgate_connects_refused_total{job="hubgate",instance="a",code="401003",error="IotHubUnauthorized"} 0+900x400`,
	"HubgateDisconnects":        `hubgate_disconnects_total{job="hubgate",instance="a",code="404104",error="x"} 0+100x400`,
	"HubgateThrottles":          `hubgate_throttled_total{job="hubgate",instance="a",limit="messages",action="slowed"} 0+100x400`,
	"HubgateClientMemory":       `hubgate_client_memory_bytes{job="hubgate",instance="a"} 900+0x400`,
	"HubgateCertificateExpires": `hubgate_certificate_expiry_timestamp_seconds{job="hubgate",instance="a",kind="issuer",name="h"} 1000000+0x400`,
	"HubgateCertificateExpired": `hubgate_certificate_expiry_timestamp_seconds{job="hubgate",instance="a",kind="server",name="h"} 30000+0x400`,
	"HubgateDiskNearlyFull":     `hubgate_data_dir_free_bytes{job="hubgate",instance="a"} 90000000000-100000000x400`,
	"HubgateBucketNearlyFull":   `hubgate_stream_bytes{job="hubgate",instance="a",stream="KV_hub_devices"} 90+0x400`,
	"HubgateReplicaMissing":     `hubgate_stream_replicas_current{job="hubgate",instance="a",stream="HUB_TELEMETRY"} 2+0x400`,
	"HubgateReplicaLag":         `hubgate_stream_replica_lag{job="hubgate",instance="a",stream="HUB_TELEMETRY"} 20000+0x400`,
	"HubgateIndexBehind":        `hubgate_index_complete{job="hubgate",instance="a",bucket="hub_twins"} 0+0x400`,
	"HubgateEventsDropped":      `hubgate_events_dropped_total{job="hubgate",instance="a"} 0+1x400`,
	"HubgateMethodsFail":        `hubgate_direct_methods_total{job="hubgate",instance="a",outcome="failed"} 0+90x400`,
	"HubgateHTTPErrors":         `hubgate_http_requests_total{job="hubgate",instance="a",method="GET",route="/devices/{id}",status="503"} 0+10x400`,
	"HubgateFileDescriptors":    `process_open_fds{job="hubgate",instance="a"} 900+0x400`,
	"HubgateNodeDead":           `hubgate_nodes{job="hubgate",instance="a",state="dead"} 1+0x400`,
	"HubgateVersionsDiffer":     `hubgate_build_info{job="hubgate",instance="b",version="2",commit="d"} 1+0x400`,
}

// also are alerts that are right to fire with another one's trouble.
var also = map[string][]string{
	"HubgateCertificateExpired": {"HubgateCertificateExpires"},
}

// TestAlertsFire has each alert fire for its trouble, and no other one; and none
// when all is well.
func TestAlertsFire(t *testing.T) {
	rules := rulesOf(t, "alerts.yaml")
	if got := firing(t, rules, healthy, ""); len(got) > 0 {
		t.Errorf("all is well, and %v fire", got)
	}
	for _, r := range rules {
		trouble, known := troubles[r.Alert]
		if !known {
			t.Errorf("nothing makes %s fire here", r.Alert)
			continue
		}
		want := append([]string{r.Alert}, also[r.Alert]...)
		slices.Sort(want)
		if got := firing(t, rules, healthy, trouble); !slices.Equal(got, want) {
			t.Errorf("with %s\n%v fire, want %v", trouble, got, want)
		}
	}
	for _, trouble := range []string{
		`hubgate_http_requests_total{job="hubgate",instance="a",method="POST",route="/twins/{id}/methods",status="503"} 0+10x400`,
		`hubgate_http_requests_total{job="hubgate",instance="a",method="GET",route="/twins/{id}",status="504"} 0+10x400`,
	} {
		if got := firing(t, rules, healthy, trouble); !slices.Equal(got, []string{"HubgateHTTPErrors"}) {
			t.Errorf("%s makes %v fire", trouble, got)
		}
	}
	// Devices that do not answer, or with what is no JSON, are not the node's fault,
	// whichever way they are called.
	for _, route := range []string{"/twins/{id}/methods", "/twins/{id}/modules/{mid}/methods", "/digitaltwins/{id}/commands/{command}", "/digitaltwins/{id}/components/{component}/commands/{command}"} {
		for _, status := range []string{"502", "504"} {
			trouble := `hubgate_http_requests_total{job="hubgate",instance="a",method="POST",route="` + route + `",status="` + status + `"} 0+10x400`
			if got := firing(t, rules, healthy, trouble); len(got) > 0 {
				t.Errorf("%s makes %v fire", trouble, got)
			}
		}
	}
	// A revocation list has days where a certificate has months.
	for name, trouble := range map[string]string{
		"a list that ends soon": `hubgate_certificate_expiry_timestamp_seconds{job="hubgate",instance="a",kind="revocation list",name="weekly"} 40000+0x400`,
		"one that has ended":    `hubgate_certificate_expiry_timestamp_seconds{job="hubgate",instance="a",kind="revocation list",name="weekly"} 4000+0x400`,
	} {
		if got := firing(t, rules, healthy, trouble); !slices.Equal(got, []string{"HubgateCertificateExpires"}) {
			t.Errorf("%s makes %v fire", name, got)
		}
	}
	// A node that was told to stop is not ready, and that is no alarm.
	if got := firing(t, rules, healthy, troubles["HubgateNodeNotReady"]+"\n"+`hubgate_draining{job="hubgate",instance="a"} 1+0x400`); len(got) > 0 {
		t.Errorf("a node that is drained makes %v fire", got)
	}
}

// firing returns the alerts that fire after six hours.
func firing(t *testing.T, rules []rulefmt.Rule, base, changed string) []string {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: newParser()})
	t.Cleanup(func() { _ = engine.Close() })
	queryable := &history{series: seriesOf(t, base, changed)}
	now := time.Unix(0, 0).Add(6 * time.Hour)
	var all []string
	for _, r := range rules {
		q, err := engine.NewRangeQuery(t.Context(), queryable, nil, r.Expr, now.Add(-time.Duration(r.For)), now, time.Minute)
		if err != nil {
			t.Fatalf("%s: %v", r.Alert, err)
		}
		matrix, err := q.Exec(t.Context()).Matrix()
		if err != nil {
			t.Fatalf("%s: %v", r.Alert, err)
		}
		steps := int(time.Duration(r.For)/time.Minute) + 1
		if slices.ContainsFunc(matrix, func(s promql.Series) bool { return len(s.Floats) == steps }) {
			all = append(all, r.Alert)
		}
		q.Close()
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// history is series in memory.
type history struct{ series map[string]*series }

type series struct {
	labels  labels.Labels
	samples []chunks.Sample
}

func seriesOf(t *testing.T, texts ...string) map[string]*series {
	t.Helper()
	all := map[string]*series{}
	for _, text := range texts {
		for line := range strings.Lines(text) {
			if strings.TrimSpace(line) == "" {
				continue
			}
			ls, values, err := newParser().ParseSeriesDesc(strings.TrimSpace(line))
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			s := &series{labels: ls}
			for i, v := range values {
				s.samples = append(s.samples, sample{int64(i) * 60_000, v.Value})
			}
			all[ls.String()] = s
		}
	}
	return all
}

// sample is a value at a time in milliseconds.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// Querier implements storage.Queryable.
func (h *history) Querier(int64, int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: h.find}, nil
}

func (h *history) find(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for _, s := range h.series {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
			found = append(found, storage.NewListSeries(s.labels, s.samples))
		}
	}
	return &all{series: found}
}

// all is a storage.SeriesSet.
type all struct {
	series []storage.Series
	next   int
}

func (a *all) Next() bool {
	a.next++
	return a.next <= len(a.series)
}

func (a *all) At() storage.Series                { return a.series[a.next-1] }
func (a *all) Err() error                        { return nil }
func (a *all) Warnings() annotations.Annotations { return nil }

var _ storage.Queryable = (*history)(nil)

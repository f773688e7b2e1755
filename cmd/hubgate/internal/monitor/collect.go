package monitor

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/meter"
)

func (s *scrape) node() {
	b := s.sources.Build
	set(s, "hubgate_build_info", 1, b.Version, b.Commit, b.Go)
	set(s, "hubgate_node_info", 1, b.Node, b.Hub)
	ready := true
	for name, ok := range s.sources.Ready(context.Background()) {
		s.flag("hubgate_readiness_check", ok, name)
		ready = ready && ok
	}
	s.flag("hubgate_ready", ready)
	s.flag("hubgate_draining", s.sources.Draining())
	type key struct{ kind, name string }
	soonest := map[key]Ending{} // several certificates can be for one name
	for _, e := range s.sources.Endings() {
		k := key{e.Kind, e.Name}
		if old, twice := soonest[k]; !twice || e.Ends.Before(old.Ends) {
			soonest[k] = e
		}
	}
	for k, e := range soonest {
		set(s, "hubgate_certificate_expiry_timestamp_seconds", e.Ends.Unix(), k.kind, k.name)
	}
	if free := s.sources.FreeBytes(); free >= 0 {
		set(s, "hubgate_data_dir_free_bytes", free)
	}
	codes, dropped := s.sources.Timeline()
	for code := range hub.Codes() {
		set(s, "hubgate_timeline_entries_total", codes[code], labelsOf(code)...)
	}
	set(s, "hubgate_timeline_entries_dropped_total", dropped)
	t := s.sources.Traces()
	set(s, "hubgate_trace_spans_total", t.Exported, "exported")
	set(s, "hubgate_trace_spans_total", t.Failed, "failed")
	set(s, "hubgate_trace_spans_total", t.Dropped, "dropped")
}

// labelsOf is a code and its name.
func labelsOf(code hub.Code) []string {
	if code == 0 {
		return []string{"0", "none"}
	}
	return []string{strconv.Itoa(int(code)), code.Name()}
}

func (s *scrape) codes(name string, counts map[hub.Code]uint64) {
	for code, n := range counts {
		if code != 0 || name == "hubgate_disconnects_total" {
			set(s, name, n, labelsOf(code)...)
		}
	}
}

// operated is an operation with both of its metrics.
func (s *scrape) operated(count, duration string, o meter.Operated, labels ...string) {
	for outcome, n := range o.Ended {
		set(s, count, n, append(slices.Clip(labels), outcome)...)
	}
	s.took(duration, o.Took, labels...)
}

func (s *scrape) connections() {
	g := s.sources.Gateway()
	for transport, n := range g.Connected {
		set(s, "hubgate_connections", n, transport)
	}
	for transport, n := range g.Admitted {
		set(s, "hubgate_connects_total", n, transport)
	}
	s.codes("hubgate_connects_refused_total", g.Refused)
	s.codes("hubgate_disconnects_total", g.Ended)
	s.took("hubgate_connect_duration_seconds", g.Connects.Took)
	s.operated("hubgate_tls_handshakes_total", "hubgate_tls_handshake_duration_seconds", g.Handshakes)
	set(s, "hubgate_handshakes_in_progress", g.HalfOpen)
	set(s, "hubgate_handshakes_displaced_total", g.Displaced)
	set(s, "hubgate_peers_turned_away_total", g.TurnedAway)
	set(s, "hubgate_penalty_entries", g.Offenders)
	set(s, "hubgate_client_memory_bytes", g.Memory)
	set(s, "hubgate_client_memory_limit_bytes", g.MemoryLimit)
	set(s, "hubgate_client_memory_disconnects_total", g.MemoryCut)
	t := s.sources.Throttle()
	for limit, n := range t.Slowed {
		set(s, "hubgate_throttled_total", n, limit, "slowed")
	}
	for limit, n := range t.Refused {
		set(s, "hubgate_throttled_total", n, limit, "refused")
	}
	set(s, "hubgate_throttle_disconnects_total", t.Cut)
	set(s, "hubgate_received_bytes_total", g.BytesIn)
	set(s, "hubgate_sent_bytes_total", g.BytesOut)
	s.took("hubgate_puback_duration_seconds", g.Puback)
	set(s, "hubgate_window_full_total", g.WindowFull)
}

func (s *scrape) messages() {
	f := s.sources.Face()
	for kind, n := range f.Received {
		set(s, "hubgate_messages_received_total", n, kind)
	}
	for kind, n := range f.Sent {
		set(s, "hubgate_messages_sent_total", n, kind)
	}
	set(s, "hubgate_method_answers_late_total", f.LateAnswers)
	const count, duration = "hubgate_twin_operations_total", "hubgate_twin_operation_duration_seconds"
	s.operated(count, duration, f.TwinGets, "device", "get")
	s.operated(count, duration, f.TwinPatches, "device", "reported")
	s.operated("hubgate_device_calls_total", "hubgate_device_call_duration_seconds", f.Calls)
	t := s.sources.Twins
	s.operated(count, duration, t.read.Counts(), "backend", "get")
	s.operated(count, duration, t.update.Counts(), "backend", "update")
	s.operated(count, duration, t.replace.Counts(), "backend", "replace")
}

func (s *scrape) store() {
	b := s.sources.Backend()
	s.engine("telemetry", b.Telemetry)
	s.engine("events", b.Events)
	set(s, "hubgate_event_queue_length", b.EventQueue)
	set(s, "hubgate_events_dropped_total", b.EventsDropped)
	for _, c := range b.Connections {
		s.flag("hubgate_nats_connected", c.Connected, c.Role)
		set(s, "hubgate_nats_reconnects_total", c.Reconnects, c.Role)
	}
	for _, f := range b.Feeds {
		s.flag("hubgate_index_complete", f.Complete, f.Bucket)
	}
	for _, state := range []backend.NodeCycle{backend.NodeUp, backend.NodeDead, backend.NodeRepaired} {
		set(s, "hubgate_nodes", b.Nodes[state], string(state))
	}
	s.took("hubgate_sync_duration_seconds", b.Syncs)
	set(s, "hubgate_devices", b.Indexed)
	set(s, "hubgate_devices_connected", b.Online)
}

func (s *scrape) engine(stream string, e backend.EngineStats) {
	set(s, "hubgate_store_messages_total", e.Stored, stream, "stored")
	set(s, "hubgate_store_messages_total", e.Failed, stream, "failed")
	set(s, "hubgate_store_retries_total", e.Retried, stream)
	s.took("hubgate_store_duration_seconds", e.Took, stream)
	set(s, "hubgate_store_in_flight", e.InFlight, stream)
	set(s, "hubgate_store_in_flight_limit", e.MaxInFlight, stream)
	set(s, "hubgate_store_in_flight_bytes", e.Bytes, stream)
	set(s, "hubgate_store_in_flight_limit_bytes", e.MaxBytes, stream)
	s.flag("hubgate_store_waiting", e.Waiting, stream)
	s.flag("hubgate_store_flowing", e.Flowing, stream)
}

// The calls of direct methods are counted with the requests to services, and
// have metrics of their own: they also come by HTTP, and from jobs.
const methodService, invokeOperation = "method", "invoke"

func (s *scrape) features() {
	b := s.sources.Backend()
	for _, r := range b.Requests {
		if r.Service == methodService && r.Operation == invokeOperation {
			s.operated("hubgate_direct_methods_total", "hubgate_direct_method_duration_seconds", r.Counts)
			continue
		}
		s.operated("hubgate_service_requests_total", "hubgate_service_request_duration_seconds", r.Counts, r.Service, r.Operation)
	}
	for how, n := range b.C2DSettled {
		set(s, "hubgate_c2d_settled_total", n, resultOf(how))
	}
	s.took("hubgate_c2d_completion_duration_seconds", b.C2DCompleted)
}

func resultOf(how c2d.Status) string {
	switch how {
	case c2d.Success:
		return "completed"
	case c2d.Expired:
		return "expired"
	case c2d.DeliveryCountExceeded:
		return "delivery_count_exceeded"
	case c2d.Rejected:
		return "rejected"
	case c2d.Purged:
		return "purged"
	default:
		return "other"
	}
}

func (s *scrape) services() {
	w := s.sources.Web()
	for _, r := range w.Routes {
		route := cmp.Or(r.Route, "none")
		for status, n := range r.Status {
			set(s, "hubgate_http_requests_total", n, r.Verb, route, strconv.Itoa(status))
		}
		s.took("hubgate_http_request_duration_seconds", r.Took, r.Verb, route)
	}
	set(s, "hubgate_http_requests_in_flight", w.InFlight)
	set(s, "hubgate_http_requests_limit", w.Most)
}

func (s *scrape) hub() {
	active, open := s.sources.Jobs()
	set(s, "hubgate_jobs_active", active)
	set(s, "hubgate_jobs_open", open)
	set(s, "hubgate_configurations", s.sources.Configurations())
	sample := s.sources.Sample()
	if sample == nil {
		return
	}
	set(s, "hubgate_nats_rtt_seconds", sample.RTT.Seconds())
	set(s, "hubgate_sample_timestamp_seconds", sample.At.Unix())
	for _, st := range sample.Streams {
		set(s, "hubgate_stream_messages", st.Messages, st.Name)
		set(s, "hubgate_stream_bytes", st.Bytes, st.Name)
		set(s, "hubgate_stream_max_bytes", max(st.MaxBytes, 0), st.Name)
		set(s, "hubgate_stream_replicas", st.Replicas, st.Name)
		set(s, "hubgate_stream_replicas_current", st.Current, st.Name)
		set(s, "hubgate_stream_replica_lag", st.Lag, st.Name)
	}
	for bucket, n := range sample.Behind {
		set(s, "hubgate_index_lag_revisions", n, bucket)
	}
}

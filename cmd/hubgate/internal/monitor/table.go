package monitor

// Kind is the type of a metric.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram" // of seconds
)

// Metric is one row of the table.
type Metric struct {
	Name   string
	Kind   Kind
	Labels []string
	Help   string
}

// Section is metrics that belong together.
type Section struct {
	Title   string
	Metrics []Metric
}

// Sections is all metrics of a node, but for those of the Go runtime and of the
// process.
func Sections() []Section {
	return []Section{
		{"The node", nodeMetrics()},
		{"Connections of devices", connectionMetrics()},
		{"Messages", messageMetrics()},
		{"Storing", storeMetrics()},
		{"Twins, direct methods, cloud-to-device messages", featureMetrics()},
		{"Back ends and operators", serviceMetrics()},
		{"NATS and the hub as a whole", hubMetrics()},
	}
}

func nodeMetrics() []Metric {
	return []Metric{
		{"hubgate_build_info", Gauge, []string{"version", "commit", "goversion"}, "Always 1: what the node was built from."},
		{"hubgate_node_info", Gauge, []string{"node", "hub"}, "Always 1: the names of the node and of the hub."},
		{"hubgate_ready", Gauge, nil, "1 if the node is ready, as /readyz says."},
		{"hubgate_readiness_check", Gauge, []string{"check"}, "1 if this check of /readyz passes."},
		{"hubgate_draining", Gauge, nil, "1 if the node takes no more devices."},
		{"hubgate_certificate_expiry_timestamp_seconds", Gauge, []string{"kind", "name"}, "When a certificate or revocation list ends that the node shows or goes by, in Unix time: kind is server, client authority, registered authority, issuer, revocation list, NATS authority, NATS client, leaf's authority, administration, administrators' authority or collector's authority."},
		{"hubgate_data_dir_free_bytes", Gauge, nil, "What may still be written to the disk of the embedded NATS server. Only with one."},
		{"hubgate_timeline_entries_total", Counter, []string{"code", "error"}, "What went wrong for devices and peers, by IoT Hub's code and its name; docs/errors.md has them."},
		{"hubgate_timeline_entries_dropped_total", Counter, nil, "Entries of timelines that were not stored because there were too many."},
		{"hubgate_trace_spans_total", Counter, []string{"outcome"}, "Spans of traces: outcome is exported, failed (the collector was away, or has refused them) or dropped (too many waited). 0 without tracing.otlp_endpoint."},
	}
}

func connectionMetrics() []Metric {
	return []Metric{
		{"hubgate_connections", Gauge, []string{"transport"}, "Devices and modules that are connected to the node: transport is tls, websocket or tcp."},
		{"hubgate_connects_total", Counter, []string{"transport"}, "Connections that were let in."},
		{"hubgate_connects_refused_total", Counter, []string{"code", "error"}, "Peers that were refused before or by CONNACK, those of the HTTPS listener included."},
		{"hubgate_disconnects_total", Counter, []string{"code", "error"}, "Connections that ended: code 0 by DISCONNECT, any other for that reason."},
		{"hubgate_connect_duration_seconds", Histogram, nil, "From a CONNECT to the decision about it."},
		{"hubgate_tls_handshakes_total", Counter, []string{"outcome"}, "TLS handshakes of MQTT."},
		{"hubgate_tls_handshake_duration_seconds", Histogram, nil, "How long they took, the peer's time included."},
		{"hubgate_handshakes_in_progress", Gauge, nil, "Peers that are in a handshake."},
		{"hubgate_handshakes_displaced_total", Counter, nil, "Peers in a handshake that had to go for newer ones."},
		{"hubgate_peers_turned_away_total", Counter, nil, "Peers that were closed unheard, because of bad credentials from their address before."},
		{"hubgate_penalty_entries", Gauge, nil, "Addresses and clients that the node remembers for bad credentials."},
		{"hubgate_throttled_total", Counter, []string{"limit", "action"}, "What exceeded a limit of rates: limit is its kind, action slowed or refused."},
		{"hubgate_throttle_disconnects_total", Counter, nil, "Connections that were cut for abuse of a limit."},
		{"hubgate_client_memory_bytes", Gauge, nil, "What unfinished packets and unread output of all connections take."},
		{"hubgate_client_memory_limit_bytes", Gauge, nil, "What they may take; 0: no limit."},
		{"hubgate_client_memory_disconnects_total", Counter, nil, "Connections that were cut because all together held too much."},
	}
}

func messageMetrics() []Metric {
	return []Metric{
		{"hubgate_messages_received_total", Counter, []string{"kind"}, "Messages from devices: kind is telemetry, twin_get, twin_reported, method_answer or credential_request."},
		{"hubgate_messages_sent_total", Counter, []string{"kind"}, "Messages to devices: kind is twin_answer, twin_desired, method_call, c2d, c2d_redelivery or credential_answer."},
		{"hubgate_received_bytes_total", Counter, nil, "MQTT packets from devices, in bytes."},
		{"hubgate_sent_bytes_total", Counter, nil, "MQTT packets to devices, in bytes."},
		{"hubgate_puback_duration_seconds", Histogram, nil, "From a telemetry message with QoS 1 to its PUBACK, the wait for earlier messages of the device included."},
		{"hubgate_window_full_total", Counter, nil, "How often a device was read no further, because as many of its messages waited for JetStream as may (limits.window)."},
		{"hubgate_method_answers_late_total", Counter, nil, "Answers of devices to calls that nobody waited for any more."},
	}
}

func storeMetrics() []Metric {
	stream := []string{"stream"}
	return []Metric{
		{"hubgate_store_messages_total", Counter, []string{"stream", "outcome"}, "Messages by how they ended: stream is telemetry or events, outcome stored or failed."},
		{"hubgate_store_retries_total", Counter, stream, "Publications that were repetitions, after an interruption."},
		{"hubgate_store_duration_seconds", Histogram, stream, "From a message to JetStream's acknowledgement."},
		{"hubgate_sync_duration_seconds", Histogram, nil, "Syncs of the disk, each for all that waited. Empty without durability.sync: group."},
		{"hubgate_store_in_flight", Gauge, stream, "Messages that wait for the acknowledgement."},
		{"hubgate_store_in_flight_limit", Gauge, stream, "How many may."},
		{"hubgate_store_in_flight_bytes", Gauge, stream, "The same in bytes."},
		{"hubgate_store_in_flight_limit_bytes", Gauge, stream, "The same in bytes."},
		{"hubgate_store_waiting", Gauge, stream, "1 if something waits for a place among them: devices are read more slowly."},
		{"hubgate_store_flowing", Gauge, stream, "1 if messages are being stored, or would be."},
		{"hubgate_event_queue_length", Gauge, nil, "Connection, lifecycle and twin events that wait to be stored."},
		{"hubgate_events_dropped_total", Counter, nil, "Events that were dropped because too many waited."},
	}
}

func featureMetrics() []Metric {
	return []Metric{
		{"hubgate_twin_operations_total", Counter, []string{"by", "operation", "outcome"}, "Operations on twins: by is device, operation get or reported; or by is backend, operation get, update or replace, of NATS, HTTP, jobs and configurations alike."},
		{"hubgate_twin_operation_duration_seconds", Histogram, []string{"by", "operation"}, "How long they took."},
		{"hubgate_direct_methods_total", Counter, []string{"outcome"}, "Calls of direct methods that came to the node, by NATS, HTTP and jobs; wherever the device is connected."},
		{"hubgate_direct_method_duration_seconds", Histogram, nil, "From the call to the answer or the error."},
		{"hubgate_device_calls_total", Counter, []string{"outcome"}, "Calls of devices that are connected to the node, whichever node they came to."},
		{"hubgate_device_call_duration_seconds", Histogram, nil, "From the call to the device's answer or the error."},
		{"hubgate_c2d_settled_total", Counter, []string{"result"}, "Cloud-to-device messages that left their queue by this node: result is completed, expired, delivery_count_exceeded, rejected or purged."},
		{"hubgate_c2d_completion_duration_seconds", Histogram, nil, "From the queue to the device's acknowledgement."},
	}
}

func serviceMetrics() []Metric {
	return []Metric{
		{"hubgate_service_requests_total", Counter, []string{"service", "operation", "outcome"}, "Requests to the NATS services of the hub that this node has answered."},
		{"hubgate_service_request_duration_seconds", Histogram, []string{"service", "operation"}, "How long they took."},
		{"hubgate_http_requests_total", Counter, []string{"method", "route", "status"}, "Requests to the service REST API, by the template of the route; none for what no route takes. Status 499: the client has left before its answer."},
		{"hubgate_http_request_duration_seconds", Histogram, []string{"method", "route"}, "How long they took."},
		{"hubgate_http_requests_in_flight", Gauge, nil, "Requests that are worked on."},
		{"hubgate_http_requests_limit", Gauge, nil, "How many may be (api.max_requests)."},
	}
}

func hubMetrics() []Metric {
	stream, bucket := []string{"stream"}, []string{"bucket"}
	return []Metric{
		{"hubgate_nats_connected", Gauge, []string{"connection"}, "1 if this connection to NATS is there: connection is main, index, telemetry or events."},
		{"hubgate_nats_reconnects_total", Counter, []string{"connection"}, "How often it had to be made anew."},
		{"hubgate_nats_rtt_seconds", Gauge, nil, "To the NATS server and back, at the last sample."},
		{"hubgate_sample_timestamp_seconds", Gauge, nil, "When NATS was asked last for what follows here with stream or bucket, in Unix time; every 15 s. While NATS is away, what follows is missing."},
		{"hubgate_stream_messages", Gauge, stream, "Messages in a stream of the hub; of the stream behind a bucket, values and what is kept of earlier ones."},
		{"hubgate_stream_bytes", Gauge, stream, "What it takes."},
		{"hubgate_stream_max_bytes", Gauge, stream, "What it may take: then a stream forgets its oldest messages, and a bucket (KV_…) takes nothing more. 0: no limit."},
		{"hubgate_stream_replicas", Gauge, stream, "Copies that the stream should have."},
		{"hubgate_stream_replicas_current", Gauge, stream, "Copies that have everything."},
		{"hubgate_stream_replica_lag", Gauge, stream, "Operations by which the copy that is furthest behind lags."},
		{"hubgate_index_lag_revisions", Gauge, bucket, "Revisions of a bucket that the index of this node, which answers queries, has not seen."},
		{"hubgate_index_complete", Gauge, bucket, "1 if the index has all that was in the bucket."},
		{"hubgate_nodes", Gauge, []string{"state"}, "Nodes of the hub: state is up, dead (its devices' connections are being ended in its place) or repaired (they are)."},
		{"hubgate_devices", Gauge, nil, "Devices of the hub, as this node knows; every node says the same."},
		{"hubgate_devices_connected", Gauge, nil, "Those of them that are connected, to whatever node."},
		{"hubgate_jobs_active", Gauge, nil, "Scheduled jobs of the hub that are at work or could be."},
		{"hubgate_jobs_open", Gauge, nil, "Scheduled jobs of the hub that have not ended."},
		{"hubgate_configurations", Gauge, nil, "Configurations and edge deployments of the hub."},
	}
}

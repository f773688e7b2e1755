// Package tracing sends what the parts of a node tell through package span to an
// OpenTelemetry collector, by OTLP over HTTP. It alone knows OpenTelemetry. Nobody
// waits for it: what it can't send it drops, counts and tells once.
package tracing

package tracing

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/span"
)

// kinds are those of OpenTelemetry's conventions for messaging: what is pushed to
// the hub is processed by it, what it stores for others is sent. A call waits for
// its answer: it is a server's towards the caller and a client's towards the
// device.
//
//nolint:gochecknoglobals // a constant
var kinds = [...]trace.SpanKind{
	span.Message: trace.SpanKindConsumer,
	span.Store:   trace.SpanKindProducer,
	span.Call:    trace.SpanKindServer,
	span.Ask:     trace.SpanKindClient,
}

// What spans have in common.
//
//nolint:gochecknoglobals // constants
var (
	mqtt    = semconv.MessagingSystemKey.String("mqtt")
	nats    = semconv.MessagingSystemKey.String("nats")
	process = semconv.MessagingOperationName("process")
	send    = semconv.MessagingOperationName("send")
)

// Where devices send messages; {…} is an id.
const (
	deviceEvents = "devices/{device_id}/messages/events"
	moduleEvents = "devices/{device_id}/modules/{module_id}/messages/events"
)

// eventsOf is the topic that id sends messages to, without properties, and its
// template.
func eventsOf(id hub.Identity) (topic, template string) {
	if id.IsModule() {
		return "devices/" + id.Device + "/modules/" + id.Module + "/messages/events", moduleEvents
	}
	return "devices/" + id.Device + "/messages/events", deviceEvents
}

// name is the name of a span: one for all devices, so that they can be compared.
func name(op span.Op, about span.About) string {
	switch op {
	case span.Message:
		if about.ID.IsModule() {
			return "process " + moduleEvents
		}
		return "process " + deviceEvents
	case span.Store:
		return "send " + about.Stream
	case span.Call:
		return "call " + clip(about.Method)
	case span.Ask:
		return "request " + about.Destination
	default:
		return "unknown"
	}
}

// clip shortens the name of a method that nobody has checked, and makes it text: one
// string that is not UTF-8, and none of a batch can be encoded.
func clip(method string) string {
	if len(method) > methods.MaxName {
		method = method[:methods.MaxName] + "…"
	}
	return strings.ToValidUTF8(method, "\ufffd")
}

// attributes are what is known of an operation when it begins.
func attributes(op span.Op, about span.About) []attribute.KeyValue {
	all := append(make([]attribute.KeyValue, 0, 10), attribute.String("hubgate.device_id", about.ID.Device))
	if about.ID.IsModule() {
		all = append(all, attribute.String("hubgate.module_id", about.ID.Module))
	}
	if about.Method != "" {
		all = append(all, attribute.String("hubgate.method.name", clip(about.Method)))
	}
	switch op {
	case span.Message:
		topic, template := eventsOf(about.ID)
		all = append(all, mqtt, process, semconv.MessagingOperationTypeProcess, semconv.MessagingDestinationName(topic), semconv.MessagingDestinationTemplate(template))
	case span.Store:
		all = append(all, nats, send, semconv.MessagingOperationTypeSend, semconv.MessagingDestinationName(about.Destination), attribute.String("hubgate.stream.name", about.Stream))
	case span.Call:
		if about.Destination == "" { // it came by HTTP, or from a job
			return all
		}
		all = append(all, nats, process, semconv.MessagingOperationTypeProcess, semconv.MessagingDestinationName(about.Destination))
	case span.Ask:
		all = append(all, mqtt, send, semconv.MessagingOperationTypeSend, semconv.MessagingDestinationName(about.Destination))
	}
	return append(all, semconv.MessagingMessageBodySize(about.Size))
}

// results are what is known of an operation when it ends.
func results(op span.Op, how span.Outcome) []attribute.KeyValue {
	switch {
	case how.Err != nil:
		code := hub.CodeOf(how.Err)
		return []attribute.KeyValue{semconv.ErrorTypeKey.String(code.Name()), attribute.Int("hubgate.error.code", int(code))}
	case op == span.Store:
		return []attribute.KeyValue{attribute.Int64("hubgate.stream.sequence", int64(how.Sequence))} //nolint:gosec // JetStream counts messages
	case op == span.Call || op == span.Ask:
		return []attribute.KeyValue{attribute.Int("hubgate.method.status", how.Status)}
	default:
		return nil
	}
}

// status is how an operation has failed: the hint of IoT Hub's code, for the
// sentence of an error may have what somebody has sent.
func status(err error) (codes.Code, string) { return codes.Error, hub.CodeOf(err).Hint() }

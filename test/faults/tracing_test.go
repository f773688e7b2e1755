package faults

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats.go"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

// A trace that somebody else has begun.
const (
	theirTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	theirSpan  = "00f067aa0ba902b7"
	theirs     = "00-" + theirTrace + "-" + theirSpan + "-01"
	unsampled  = "00-" + theirTrace + "-" + theirSpan + "-00"
)

// The names of spans.
const (
	messageSpan = "process devices/{device_id}/messages/events"
	storeSpan   = "send HUB_TELEMETRY"
	callSpan    = "call reboot"
	askSpan     = "request $iothub/methods/POST/reboot/"
)

// otelVariables are what OpenTelemetry's SDKs read, and a hub does not go by.
var otelVariables = []string{
	"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://127.0.0.1:1/x", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
	"OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer theirs", "OTEL_EXPORTER_OTLP_CERTIFICATE=/nowhere", "OTEL_EXPORTER_OTLP_COMPRESSION=none",
	"OTEL_TRACES_SAMPLER=always_off", "OTEL_SDK_DISABLED=true", "OTEL_SERVICE_NAME=theirs", "OTEL_RESOURCE_ATTRIBUTES=service.name=theirs,site=plant7",
	"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=1", "OTEL_BSP_MAX_QUEUE_SIZE=1", "OTEL_BSP_SCHEDULE_DELAY=86400000",
}

// tracingTo runs a gateway that sends traces, and begins none but for its share.
func tracingTo(t *testing.T, endpoint, sample string, more ...string) *hubtest.Gateway {
	t.Helper()
	return start(t, hubtest.Options{Env: otelVariables, Flags: adminFlags(append([]string{
		"--node", "north", "--set", "tracing.otlp_endpoint=" + endpoint, "--set", "tracing.sample=" + sample,
	}, more...)...)})
}

// pahoDevice connects a new device by Eclipse's client.
func pahoDevice(t *testing.T, g *hubtest.Gateway, id string) (paho.Client, *device) {
	t.Helper()
	d := newDevice(t, g, id)
	c := paho.NewClient(paho.NewClientOptions().
		AddBroker("ssl://" + d.addr).SetTLSConfig(d.tls).SetProtocolVersion(4).SetAutoReconnect(false).SetOrderMatters(false).
		SetClientID(id).SetUsername(d.host + "/" + id + "/?api-version=2021-04-12").SetPassword(d.token(time.Now().Add(time.Hour))))
	done(t, "connect", c.Connect())
	t.Cleanup(func() { c.Disconnect(100) })
	return c, d
}

func done(t *testing.T, what string, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("%s: %v", what, token.Error())
	}
}

// sendEvent publishes a message with properties, name and value by turns, and waits
// for its PUBACK.
func sendEvent(t *testing.T, c paho.Client, d *device, body string, properties ...string) {
	t.Helper()
	var bag []string
	for pair := range slices.Chunk(properties, 2) {
		bag = append(bag, url.QueryEscape(pair[0])+"="+url.QueryEscape(pair[1]))
	}
	done(t, "publish", c.Publish(d.eventsTopic(strings.Join(bag, "&")), 1, false, body))
}

// TestTraceOfMessage: a device's trace goes on in the hub's spans, and from there in
// what back ends read.
func TestTraceOfMessage(t *testing.T) {
	to := newCollector(t)
	headers := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(headers, []byte("# of the collector\nAuthorization: Bearer s3cret-of-the-collector\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := tracingTo(t, to.URL, "0", "--set", "tracing.headers="+headers)
	c, d := pahoDevice(t, g, "tracer")
	sendEvent(t, c, d, "body-nobody-sees", "traceparent", theirs, "tracestate", "vendor=a%b", "level", "value-nobody-sees", "$.tracestate", "timestamp=1539243209")

	stored := g.Messages(t, "tracer", 1)[0].Headers()
	spans := to.awaitTrace(t, theirTrace, 2)
	message, store := spans[messageSpan], spans[storeSpan]
	if message.parent() != theirSpan || store.parent() != message.id() {
		t.Errorf("the message's span is a child of %s and the store's of %s; want %s and %s", message.parent(), store.parent(), theirSpan, message.id())
	}
	for name, want := range map[string]string{
		"traceparent": "00-" + theirTrace + "-" + store.id() + "-01", "tracestate": "vendor=a%b",
		"iothub-app-traceparent": theirs, "iothub-app-tracestate": "vendor=a%25b", "iothub-app-%24.tracestate": "timestamp=1539243209",
	} {
		if got := stored[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("the stored message has %s %q, want %q", name, got, want)
		}
	}
	if message.GetKind() != otlp.Span_SPAN_KIND_CONSUMER || store.GetKind() != otlp.Span_SPAN_KIND_PRODUCER {
		t.Errorf("the kinds are %v and %v", message.GetKind(), store.GetKind())
	}
	if message.GetStartTimeUnixNano() > store.GetStartTimeUnixNano() || message.GetEndTimeUnixNano() < store.GetEndTimeUnixNano() {
		t.Errorf("the message took from %d to %d, and its store from %d to %d", message.GetStartTimeUnixNano(), message.GetEndTimeUnixNano(), store.GetStartTimeUnixNano(), store.GetEndTimeUnixNano())
	}
	message.has(t, "messaging.system=mqtt", "messaging.operation.type=process", "hubgate.device_id=tracer",
		"messaging.destination.name=devices/tracer/messages/events", "messaging.message.body.size=16")
	store.has(t, "messaging.system=nats", "messaging.operation.type=send", "messaging.destination.name=hub.telemetry.tracer",
		"hubgate.stream.name=HUB_TELEMETRY", "hubgate.stream.sequence=1")
	for name, want := range map[string]string{"service.name": "hubgate", "service.instance.id": "north", "hubgate.hub": g.Ready.HostName, "site": "plant7"} {
		if got := message.resource[name]; got != want {
			t.Errorf("the spans are of %s %q, want %q", name, got, want)
		}
	}
	raw, sentWith := to.sent()
	if strings.Contains(raw, "nobody-sees") {
		t.Error("a span has the body or a property of the message")
	}
	if got := sentWith[0].Get("Authorization"); got != "Bearer s3cret-of-the-collector" {
		t.Errorf("the collector got Authorization %q", got)
	}
	if strings.Contains(g.Log.String(), "internal_logging") {
		t.Error("the SDK writes a log of its own")
	}
	if strings.Contains(g.Log.String(), "s3cret") {
		t.Error("the log has what lets the hub in at the collector")
	}
	waitFor(t, "2 spans to be counted as exported", func() bool { // the collector has them a little earlier
		return scrape(t, g)[`hubgate_trace_spans_total{outcome="exported"}`] == 2
	})
}

// TestTraceOrNot: what is no trace context is the property of a device and nothing
// else, and a trace that its sender does not want to be kept is not, but goes on.
func TestTraceOrNot(t *testing.T) {
	to := newCollector(t)
	g := tracingTo(t, to.URL, "0")
	c, d := pahoDevice(t, g, "chooser")
	bad := []string{
		"", "x", "00-" + theirTrace, strings.ToUpper(theirs), theirs + "-more", "ff" + theirs[2:],
		"00-" + strings.Repeat("0", 32) + "-" + theirSpan + "-01", strings.Repeat("0", 4096), "00-\r\nNats-Msg-Id: x-01",
	}
	for _, parent := range bad {
		sendEvent(t, c, d, "{}", "traceparent", parent, "tracestate", "a=b")
	}
	sendEvent(t, c, d, "{}")
	sendEvent(t, c, d, "{}", "traceparent", unsampled, "tracestate", "a=b")
	sendEvent(t, c, d, "{}", "traceparent", theirs)

	all := g.Messages(t, "chooser", len(bad)+3)
	for i, m := range all[:len(bad)+1] {
		if h := m.Headers(); h["traceparent"] != nil || h["tracestate"] != nil {
			t.Errorf("message %d goes on with the trace %q", i, h["traceparent"])
		}
		if i < len(bad) && all[i].Headers()["iothub-app-traceparent"] == nil {
			t.Errorf("message %d has lost its property traceparent", i)
		}
	}
	if got := all[len(bad)+1].Headers(); got.Get("traceparent") != unsampled || got.Get("tracestate") != "a=b" {
		t.Errorf("the trace that is not kept goes on as %q with %q", got.Get("traceparent"), got.Get("tracestate"))
	}
	to.awaitTrace(t, theirTrace, 2) // the last message's
	if n := len(to.await(t, "spans", func([]sentSpan) bool { return true })); n != 2 {
		t.Errorf("%d spans came, want the 2 of the last message", n)
	}
}

// TestTraceBegins: with a share of 1, what says nothing of a trace begins one.
func TestTraceBegins(t *testing.T) {
	to := newCollector(t)
	g := tracingTo(t, to.URL, "1")
	c, d := pahoDevice(t, g, "beginner")
	sendEvent(t, c, d, "{}", "traceparent", "malformed")
	parent := g.Messages(t, "beginner", 1)[0].Headers().Get("traceparent")
	parts := strings.Split(parent, "-")
	if len(parts) != 4 || parts[3] != "01" {
		t.Fatalf("the stored message has the traceparent %q", parent)
	}
	spans := to.awaitTrace(t, parts[1], 2)
	if got := spans[messageSpan].parent(); got != "" {
		t.Errorf("the first span has the parent %s", got)
	}
	if got := spans[storeSpan].id(); got != parts[2] {
		t.Errorf("the message's traceparent is %s, and the span that stores it is %s", parent, got)
	}
}

// reboot invokes the method of that name by NATS.
func reboot(t *testing.T, g *hubtest.Gateway, id, parent string) *nats.Msg {
	t.Helper()
	l := &life{nc: g.NATS}
	m, err := l.request("hub.method."+id+".reboot", nats.Header{"traceparent": {parent}, "Hub-Response-Timeout": {"5s"}}, `{"secret":"nobody-sees"}`)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// parentOf is theirs in another trace.
func parentOf(trace string) string { return "00-" + trace + "-" + theirSpan + "-01" }

// TestTraceOfMethod: the trace of who calls goes on to the device's answer, and
// says what became of the call.
func TestTraceOfMethod(t *testing.T) {
	to := newCollector(t)
	g := tracingTo(t, to.URL, "0")
	c, d := pahoDevice(t, g, "callee")
	done(t, "subscribe", c.Subscribe(methodCalls, 0, func(c paho.Client, m paho.Message) {
		if strings.Contains(string(m.Payload()), "silence") {
			return
		}
		_, rid, _ := strings.Cut(m.Topic(), "/?$rid=")
		c.Publish("$iothub/methods/res/202/?$rid="+rid, 0, false, "{}")
	}))
	trace := func(n int) string { return fmt.Sprintf("%032x", n) }

	t.Run("answered", func(t *testing.T) {
		if m := reboot(t, g, "callee", parentOf(trace(1))); m.Header.Get("Hub-Status") != "202" {
			t.Fatalf("the answer has %v", m.Header)
		}
		spans := to.awaitTrace(t, trace(1), 2)
		call, ask := spans[callSpan], spans[askSpan]
		if call.parent() != theirSpan || ask.parent() != call.id() {
			t.Errorf("the call's span is a child of %s and the device's of %s; want %s and %s", call.parent(), ask.parent(), theirSpan, call.id())
		}
		call.has(t, "messaging.system=nats", "messaging.destination.name=hub.method.callee.reboot", "hubgate.device_id=callee", "hubgate.method.name=reboot", "hubgate.method.status=202")
		ask.has(t, "messaging.system=mqtt", "messaging.destination.name=$iothub/methods/POST/reboot/", "hubgate.method.status=202")
		if call.GetKind() != otlp.Span_SPAN_KIND_SERVER || ask.GetKind() != otlp.Span_SPAN_KIND_CLIENT {
			t.Errorf("the kinds are %v and %v", call.GetKind(), ask.GetKind())
		}
		for _, s := range spans {
			if s.GetStatus().GetCode() != otlp.Status_STATUS_CODE_UNSET {
				t.Errorf("%s has the status %v", s.GetName(), s.GetStatus())
			}
		}
	})
	t.Run("absent", func(t *testing.T) {
		newDevice(t, g, "absentee")
		reboot(t, g, "absentee", parentOf(trace(2)))
		fails(t, to.awaitTrace(t, trace(2), 1)[callSpan], "DeviceNotOnline", "404103")
	})
	t.Run("no answer", func(t *testing.T) {
		l := &life{nc: g.NATS}
		if _, err := l.request("hub.method.callee.reboot", nats.Header{"Traceparent": {parentOf(trace(3))}, "Hub-Response-Timeout": {"5s"}}, `"silence"`); err != nil {
			t.Fatal(err)
		}
		spans := to.awaitTrace(t, trace(3), 2)
		fails(t, spans[callSpan], "GatewayTimeout", "504101")
		fails(t, spans[askSpan], "GatewayTimeout", "504101")
	})
	t.Run("by HTTP", func(t *testing.T) {
		invokeByHTTP(t, g, d, parentOf(trace(4)))
		spans := to.awaitTrace(t, trace(4), 2)
		if call := spans[callSpan]; call.parent() != theirSpan || spans[askSpan].parent() != call.id() {
			t.Errorf("the call's span is a child of %s and the device's of %s", call.parent(), spans[askSpan].parent())
		}
		if _, there := values(spans[callSpan].GetAttributes())["messaging.system"]; there {
			t.Error("a call by HTTP is said to have come by messaging")
		}
	})
	t.Run("kept until the device comes", func(t *testing.T) {
		late := newDevice(t, g, "latecomer")
		l := &life{nc: g.NATS}
		m, err := l.request("hub.method.latecomer.reboot", nats.Header{"traceparent": {parentOf(trace(5))}, "Hub-Wait": {"1h"}}, "")
		if code, text := serviceError(m); err != nil || code != "" {
			t.Fatal(err, text)
		}
		conn := late.mustJoin(t, methodCalls)
		go conn.answerAll()
		if ask := to.awaitTrace(t, trace(5), 1)[askSpan]; ask.parent() != theirSpan {
			t.Errorf("the device's span is a child of %s, want %s", ask.parent(), theirSpan)
		}
	})
	if raw, _ := to.sent(); strings.Contains(raw, "nobody-sees") {
		t.Error("a span has the payload of a call")
	}
}

// fails checks a span that has to end with an error.
func fails(t *testing.T, s sentSpan, name, code string) {
	t.Helper()
	if s.Span == nil || s.GetStatus().GetCode() != otlp.Status_STATUS_CODE_ERROR {
		t.Errorf("%s has the status %v, want an error", s.GetName(), s.GetStatus())
		return
	}
	s.has(t, "error.type="+name, "hubgate.error.code="+code)
}

// invokeByHTTP invokes reboot as an operator does.
func invokeByHTTP(t *testing.T, g *hubtest.Gateway, d *device, parent string) {
	t.Helper()
	cs, err := sas.ParseConnectionString(g.Ready.ServiceConnectionString)
	if err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("https://%s/twins/%s/methods?api-version=2021-04-12", address(g, httpsPort), d.id.Device)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, where, strings.NewReader(`{"methodName":"reboot","payload":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", sas.Sign(d.host, key(t, cs.SharedAccessKey), time.Now().Add(time.Hour), cs.SharedAccessKeyName))
	r.Header.Set("traceparent", parent)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: d.tls}, Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the call by HTTP was answered %d", resp.StatusCode)
	}
}

// TestTraceNothing: a hub that is told nothing of a collector connects to none, not
// even to that of the variables which every OpenTelemetry SDK reads.
func TestTraceNothing(t *testing.T) {
	to := newCollector(t)
	g := start(t, hubtest.Options{Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL, "OTEL_TRACES_SAMPLER=always_on"}})
	c, d := pahoDevice(t, g, "quiet")
	sendEvent(t, c, d, "{}", "traceparent", theirs)
	h := g.Messages(t, "quiet", 1)[0].Headers()
	if h["traceparent"] != nil || h.Get("iothub-app-traceparent") != theirs {
		t.Errorf("the stored message has the headers %v", h)
	}
	g.Stop(t, syscall.SIGTERM) // which would send what waits
	if n := to.connections(); n != 0 {
		t.Errorf("%d connections were made to the collector", n)
	}
}

// TestCollectorAway: nobody notices that the collector is not there, and the log
// says it once.
func TestCollectorAway(t *testing.T) {
	away := newCollector(t)
	addr := away.listener.Addr().String()
	away.server.Close()
	g := tracingTo(t, "http://"+addr, "1")
	c, d := pahoDevice(t, g, "unmoved")
	isAway := func(l hubtest.Line) bool {
		return strings.HasPrefix(l.Text("message"), "the collector of tracing.otlp_endpoint")
	}
	for batch := range 3 { // each is sent by itself
		failed := scrape(t, g)[`hubgate_trace_spans_total{outcome="failed"}`]
		for range 10 {
			sendEvent(t, c, d, "{}")
		}
		waitFor(t, fmt.Sprintf("batch %d of traces to fail", batch), func() bool {
			return scrape(t, g)[`hubgate_trace_spans_total{outcome="failed"}`] > failed
		})
	}
	if lines := g.Log.Lines(0, isAway); len(lines) != 1 || lines[0].Text("level") != "warn" {
		t.Errorf("the log has %d warnings that the collector is away, want one: %v", len(lines), lines)
	}
	back := newCollectorAt(t, addr)
	waitFor(t, "spans at a collector that is there again", func() bool {
		sendEvent(t, c, d, "{}")
		return len(back.await(t, "", func([]sentSpan) bool { return true })) > 0
	})
	g.Log.Await(t, "that the collector is there again", func(l hubtest.Line) bool { return l.Text("message") == "the collector takes traces again" })
	sendEvent(t, c, d, "{}", "traceparent", theirs)
	g.Stop(t, syscall.SIGTERM) // which sends what waits
	if spans := slices.Collect(maps.Keys(back.awaitTrace(t, theirTrace, 2))); len(spans) != 2 {
		t.Errorf("the last message has the spans %v", spans)
	}
}

// TestTracingRefused: a mistake in the configuration ends the start with a sentence.
func TestTracingRefused(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(bad, []byte("my-s3cret-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		set  []string
		says string
	}{
		"no URL":       {[]string{"tracing.otlp_endpoint=localhost:4318"}, "is not a URL such as http://localhost:4318"},
		"full URL":     {[]string{"tracing.otlp_endpoint=http://localhost:4318/v1/traces"}, "give the base URL"},
		"password":     {[]string{"tracing.otlp_endpoint=http://me:s3cret@localhost:4318"}, "tracing.headers"},
		"share":        {[]string{"tracing.sample=2"}, "is not a share from 0 to 1"},
		"no headers":   {[]string{"tracing.otlp_endpoint=http://localhost:4318", "tracing.headers=env:NOT_THERE"}, "NOT_THERE is not set"},
		"bad headers":  {[]string{"tracing.otlp_endpoint=http://localhost:4318", "tracing.headers=" + bad}, "line 1 is not a header"},
		"no authority": {[]string{"tracing.otlp_endpoint=https://localhost:4318", "tracing.ca_file=" + bad}, "holds no certificate"},
		"http and CA":  {[]string{"tracing.otlp_endpoint=http://localhost:4318", "tracing.ca_file=" + bad}, "https"},
		"no collector": {[]string{"tracing.headers=" + bad}, "no collector to use it for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"dev", "--data-dir", t.TempDir()}
			for _, s := range tt.set {
				args = append(args, "--set", s)
			}
			r := hubtest.Run(t, nil, args...)
			if r.Code != 2 || !strings.Contains(r.Stderr, tt.says) || strings.Contains(r.Stderr, "s3cret") {
				t.Errorf("exit code %d: %s", r.Code, r.Stderr)
			}
		})
	}
}

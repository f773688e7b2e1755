package iothub

import (
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
	"github.com/hubgate/hubgate/telemetry"
)

// tracer keeps all that it is told.
type tracer struct {
	ops     []span.Op
	abouts  []span.About
	froms   []span.Context
	endings []span.Outcome
}

func (tr *tracer) Begin(op span.Op, about span.About, from span.Context) (span.Span, span.Context) {
	tr.ops, tr.abouts, tr.froms = append(tr.ops, op), append(tr.abouts, about), append(tr.froms, from)
	return tr, span.Context{Parent: "ours"}
}

func (tr *tracer) End(o span.Outcome) { tr.endings = append(tr.endings, o) }

// traceable is a receipt as a connection is one.
type traceable struct {
	receipt
	traced map[uint64]span.Span
}

var _ gateway.Traceable = traceable{}

func (traceable) Came() time.Time                 { return time.Unix(7, 0) }
func (r traceable) Trace(tag uint64, s span.Span) { r.traced[tag] = s }

// traceSink keeps the traces of what it stores.
type traceSink struct {
	sink
	traces []span.Context
}

func (s *traceSink) Store(m *telemetry.Message, done telemetry.Receipt, tag uint64) {
	s.traces = append(s.traces, m.Trace)
	s.sink.Store(m, done, tag)
}

// TestMessageIsTraced: the properties traceparent and tracestate are where a message's
// trace comes from, under exactly these names, and stay properties.
func TestMessageIsTraced(t *testing.T) {
	for name, tt := range map[string]struct {
		bag  string
		want span.Context
	}{
		"both":         {"a=b&traceparent=00-x&tracestate=a%3D1%2Cb%3D2", span.Context{Parent: "00-x", State: "a=1,b=2"}},
		"none":         {"a=b", span.Context{}},
		"state alone":  {"tracestate=a%3D1", span.Context{}},
		"other names":  {"Traceparent=00-x&%24.traceparent=00-y&%24.tracestate=timestamp%3D1&%24.diagid=z", span.Context{}},
		"twice":        {"traceparent=00-x&traceparent=00-y", span.Context{Parent: "00-y"}},
		"no value":     {"traceparent&tracestate", span.Context{}},
		"of no length": {"traceparent=&tracestate=", span.Context{}},
	} {
		t.Run(name, func(t *testing.T) {
			f, devices, _ := newFace()
			to, tr := &traceSink{}, &tracer{}
			f.Telemetry, f.Tracer = to, tr
			done := traceable{traced: map[uint64]span.Span{}}
			h := admitted(t, f, devices, "dev1/mod1").Handler
			p := &mqtt.Publish{Topic: []byte("devices/dev1/modules/mod1/messages/events/" + tt.bag), Payload: []byte("body")}
			if err := h.Publish(p, done, 5); err != nil {
				t.Fatal(err)
			}
			if len(tr.froms) != 1 || tr.froms[0] != tt.want || tr.ops[0] != span.Message {
				t.Fatalf("the operations %v go on with %+v, want %+v", tr.ops, tr.froms, tt.want)
			}
			if a := tr.abouts[0]; a.ID != (hub.Identity{Device: "dev1", Module: "mod1"}) || a.Size != 4 || !a.Began.Equal(time.Unix(7, 0)) {
				t.Errorf("the operation is about %+v", a)
			}
			if to.traces[0] != (span.Context{Parent: "ours"}) || done.traced[5] == nil {
				t.Errorf("the message is stored with %+v, and its receipt traces %v", to.traces[0], done.traced)
			}
			if _, there := to.headers[0]["iothub-app-traceparent"]; there != (name == "both" || name == "twice" || name == "no value" || name == "of no length") {
				t.Errorf("the headers are %v", to.headers[0])
			}
		})
	}
}

// TestNotTraced: without a tracer, nobody looks for a trace.
func TestNotTraced(t *testing.T) {
	f, devices, _ := newFace()
	to := &traceSink{}
	f.Telemetry = to
	done := traceable{traced: map[uint64]span.Span{}}
	p := &mqtt.Publish{Topic: []byte("devices/dev1/messages/events/traceparent=00-x"), Payload: []byte("body")}
	if err := admitted(t, f, devices, "dev1").Handler.Publish(p, done, 5); err != nil {
		t.Fatal(err)
	}
	if !to.traces[0].IsZero() || len(done.traced) != 0 {
		t.Errorf("the message is stored with %+v, and its receipt traces %v", to.traces[0], done.traced)
	}
	h := admitted(t, f, devices, "dev1").Handler.(*handler)
	m := &telemetry.Message{}
	if n := testing.AllocsPerRun(100, func() { h.trace(m, done, 5) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestAskIsTraced: a call that is in a trace has a span from the PUBLISH to the
// answer; one that does not get to the device has none.
func TestAskIsTraced(t *testing.T) {
	l := newLink("$iothub/methods/POST/#")
	h := attached(t, l)
	tr := &tracer{}
	h.face.Tracer = tr
	go func() { _ = answer(h, "207", ridFrom(t, <-l.sent, "reboot"), "1") }()
	c := callOf("reboot", "{}")
	c.Trace = span.Context{Parent: "theirs"}
	if _, err := h.invoke(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if len(tr.ops) != 1 || tr.ops[0] != span.Ask || tr.froms[0] != c.Trace || tr.abouts[0].Destination != "$iothub/methods/POST/reboot/" || tr.endings[0] != (span.Outcome{Status: 207}) {
		t.Errorf("%+v", tr)
	}
	l.err = hub.Errorf(hub.ConnectionLost, "gone")
	if _, err := h.invoke(t.Context(), c); err == nil || hub.CodeOf(tr.endings[1].Err) != hub.DeviceNotOnline {
		t.Errorf("%v: %+v", err, tr.endings)
	}
	c.Trace = span.Context{}
	_, _ = h.invoke(t.Context(), c)
	l.subscribed = nil
	c.Trace = span.Context{Parent: "theirs"}
	if _, err := h.invoke(t.Context(), c); err == nil || len(tr.ops) != 2 {
		t.Errorf("%v: %+v", err, tr)
	}
}

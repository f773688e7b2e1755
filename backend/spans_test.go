package backend

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/span"
)

// tracer keeps what it is told. A trace whose parent is "unkept" goes on as it is.
type tracer struct {
	mu    sync.Mutex
	spans []*kept
}

// kept is an operation; ended gets how it has.
type kept struct {
	op    span.Op
	about span.About
	from  span.Context
	next  span.Context
	ended chan span.Outcome
}

func (k *kept) End(o span.Outcome) { k.ended <- o }

func (tr *tracer) Begin(op span.Op, about span.About, from span.Context) (span.Span, span.Context) {
	if from.Parent == "unkept" {
		return nil, from
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	k := &kept{op, about, from, span.Context{Parent: fmt.Sprintf("span-%d", len(tr.spans)), State: from.State, Here: true}, make(chan span.Outcome, 2)}
	tr.spans = append(tr.spans, k)
	return k, k.next
}

func (tr *tracer) all() []*kept {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.spans
}

// TestStoreIsTraced: a message in a trace has a span until JetStream has
// acknowledged it, which knows where it is; its headers say where the trace goes on,
// and nothing of that is left for the message after it.
func TestStoreIsTraced(t *testing.T) { byEach(t, testStoreIsTraced) }

func testStoreIsTraced(t *testing.T, w way) {
	t.Parallel()
	tr := &tracer{}
	b := w.open(t, serve(t, "", 0), Config{Tracer: tr})
	l := newLedger(t)
	want := []span.Context{{Parent: "span-0", State: "a=%25, b"}, {}, {Parent: "unkept"}, {}, {Parent: "span-1"}}
	for i, from := range []span.Context{{Parent: "theirs", State: "a=%25, b"}, {}, {Parent: "unkept"}, {}, {Parent: "theirs"}} {
		m := message(device(1), uint64(i))
		m.Trace = from
		b.Telemetry().Store(m, l, uint64(i))
		l.wait(i + 1)
	}
	stream, err := b.JetStream().Stream(testContext(t), telemetryStream)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range want {
		got, err := stream.GetMsg(testContext(t), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		if c := span.Of(got.Header); c != want {
			t.Errorf("message %d goes on with %+v, want %+v", i, c, want)
		}
	}
	spans := tr.all()
	if len(spans) != 2 {
		t.Fatalf("%d spans, want 2", len(spans))
	}
	for i, sequence := range []uint64{1, 5} {
		s := spans[i]
		if o := <-s.ended; o != (span.Outcome{Sequence: sequence}) {
			t.Errorf("span %d has ended with %+v", i, o)
		}
		if len(s.ended) > 0 {
			t.Errorf("span %d has ended again: %+v", i, <-s.ended)
		}
		if s.op != span.Store || s.about.ID != device(1) || s.about.Stream != telemetryStream || s.about.Destination != "hub.telemetry.dev-1" || s.about.Size != 1 {
			t.Errorf("span %d is %d of %+v", i, s.op, s.about)
		}
	}
}

// TestFailedStoreIsTraced: a message that is not stored says why.
func TestFailedStoreIsTraced(t *testing.T) { byEach(t, testFailedStoreIsTraced) }

func testFailedStoreIsTraced(t *testing.T, w way) {
	t.Parallel()
	tr := &tracer{}
	b := w.open(t, serve(t, "", 0), Config{Tracer: tr})
	if err := b.JetStream().DeleteStream(testContext(t), telemetryStream); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream().CreateStream(testContext(t), jetstream.StreamConfig{Name: telemetryStream, Subjects: []string{"hub.telemetry.>"}, MaxMsgSize: 10}); err != nil {
		t.Fatal(err)
	}
	l := newLedger(t)
	m := message(device(1), 1)
	m.Trace = span.Context{Parent: "theirs"}
	b.Telemetry().Store(m, l, 1)
	l.wait(1)
	_, codes := l.check()
	o := <-tr.all()[0].ended
	if o.Err == nil || codes[hub.CodeOf(o.Err)] != 1 {
		t.Errorf("the span has ended with %v, and the message with %v", o.Err, codes)
	}
}

// TestCallIsTraced: a call is one span, wherever the device is, and the device's node
// hears where the trace goes on.
func TestCallIsTraced(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	tr := &tracer{}
	near := &methodNode{Backbone: open(t, s, Config{Tracer: tr}), name: "near", rack: &rack{devices: map[hub.Identity]methodFunc{}}}
	near.start(t)
	far := &rack{devices: map[hub.Identity]methodFunc{}}
	b := open(t, s, Config{})
	service, err := b.ServeMethods(testContext(t), "far", far)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	heard := make(chan span.Context, 10)
	answers := func(_ context.Context, c methods.Call) (methods.Answer, error) {
		heard <- c.Trace
		return methods.Answer{Status: 201}, nil
	}
	for n := range 3 {
		create(t, near.Backbone, device(n))
	}
	near.connect(t, device(0), answers)
	if _, _, err := b.Sessions().Claim(testContext(t), session.Session{ID: device(1), Generation: "1", Connected: true, Node: "far"}); err != nil {
		t.Fatal(err)
	}
	far.mu.Lock()
	far.devices[device(1)] = answers
	far.mu.Unlock()
	call := func(n int, from span.Context) error {
		_, err := near.service.Invoke(testContext(t), methods.Call{ID: device(n), Method: "m", Trace: from})
		return err
	}
	for n, here := range []bool{true, false} {
		if err := call(n, span.Context{Parent: "theirs", State: "s"}); err != nil {
			t.Fatal(err)
		}
		k := tr.all()[n]
		if got := <-heard; got.Parent != k.next.Parent || got.State != "s" || got.Here != here {
			t.Errorf("the device of call %d hears of %+v, want %+v", n, got, k.next)
		}
		if o := <-k.ended; k.op != span.Call || k.from.Parent != "theirs" || k.about.Destination != "" || o != (span.Outcome{Status: 201}) {
			t.Errorf("call %d is %+v, and has ended with %+v", n, k, o)
		}
	}
	if err := call(2, span.Context{}); err == nil {
		t.Fatal("a device that is away has answered")
	}
	if o := <-tr.all()[2].ended; hub.CodeOf(o.Err) != hub.DeviceNotOnline {
		t.Errorf("the call of a device that is away has ended with %+v", o)
	}
	if err := call(1, span.Context{Parent: "unkept"}); err != nil || len(tr.all()) != 3 {
		t.Errorf("a call that is not kept: %v, %d spans", err, len(tr.all()))
	}
	if got := <-heard; got.Parent != "unkept" {
		t.Errorf("the device of a call that is not kept hears of %+v", got)
	}
}

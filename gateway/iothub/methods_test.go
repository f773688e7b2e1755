package iothub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// fakeLink is a client's end: what is sent to it comes out of sent.
type fakeLink struct {
	subscribed map[string]byte
	sent       chan gateway.Message
	err        error
	cut        bool // the connection before has not told its end
	epoch      uint64
}

func newLink(filters ...string) *fakeLink {
	l := &fakeLink{epoch: 1, subscribed: map[string]byte{}, sent: make(chan gateway.Message, 1000)}
	for _, f := range filters {
		l.subscribed[f] = 1
	}
	return l
}

func (l *fakeLink) Send(m gateway.Message) (uint16, error) {
	if l.err != nil {
		return 0, l.err
	}
	l.sent <- m
	return max(m.PacketID, 1), nil
}

func (l *fakeLink) Epoch() (epoch uint64, contested bool) { return l.epoch, false }

func (l *fakeLink) Resumed() (resumed, cut bool) { return true, l.cut }

func (l *fakeLink) Subscription(filter string) (byte, bool) {
	qos, ok := l.subscribed[filter]
	return qos, ok
}

func (l *fakeLink) Stop(error) {}

// attached lets dev1 in with a link.
func attached(t *testing.T, l gateway.Link) *handler {
	t.Helper()
	f, devices, _ := newFace()
	h := admitted(t, f, devices, "dev1").Handler.(*handler)
	h.Attach(l)
	return h
}

func callOf(name, payload string) methods.Call {
	return methods.Call{ID: hub.Identity{Device: "dev1"}, Method: name, Payload: []byte(payload)}
}

// ridOf is what the client reads out of a request's topic.
func ridFrom(t *testing.T, m gateway.Message, method string) string {
	t.Helper()
	rid, ok := strings.CutPrefix(m.Topic, "$iothub/methods/POST/"+method+"/?$rid=")
	if !ok || rid == "" || strings.ContainsAny(rid, "/&?") {
		t.Fatalf("topic %q: C# takes all behind ?$rid= for the rid", m.Topic)
	}
	return rid
}

func answer(h *handler, status, rid, payload string) error {
	p := &mqtt.Publish{Topic: []byte("$iothub/methods/res/" + status + "/?$rid=" + rid), Payload: []byte(payload)}
	return h.Publish(p, receipt{}, 0)
}

func TestInvoke(t *testing.T) {
	l := newLink("$iothub/methods/POST/#")
	h := attached(t, l)
	go func() {
		m := <-l.sent
		if string(m.Payload) != `{"a":1}` || m.QoS != 1 || !m.Yields {
			t.Errorf("request %+v", m)
		}
		if err := answer(h, "207", ridFrom(t, m, "reboot"), `"done"`); err != nil {
			t.Error(err)
		}
	}()
	a, err := h.invoke(t.Context(), callOf("reboot", `{"a":1}`))
	if err != nil || a.Status != 207 || string(a.Payload) != `"done"` {
		t.Errorf("answer %+v, %v", a, err)
	}
	if n := h.face.Stats(); n.Sent["method_call"] != 1 || n.Received["method_answer"] != 1 || n.LateAnswers != 0 {
		t.Errorf("%+v was counted", n)
	}
}

// Two hundred calls at once, answered in another order: each gets its own.
func TestManyCallsInFlight(t *testing.T) {
	l := newLink("$iothub/methods/POST/#")
	h := attached(t, l)
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			a, err := h.invoke(t.Context(), callOf(fmt.Sprintf("m%d", i), "null"))
			if want := fmt.Sprint(i); err != nil || string(a.Payload) != want {
				t.Errorf("call %d: %s, %v", i, a.Payload, err)
			}
		})
	}
	requests := make([]gateway.Message, n)
	for i := range requests {
		requests[i] = <-l.sent
	}
	for i := range requests {
		m := requests[(i*7+3)%n]
		name, rid, _ := strings.Cut(strings.TrimPrefix(m.Topic, "$iothub/methods/POST/m"), "/?$rid=")
		if err := answer(h, "200", rid, name); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

func TestInvokeFails(t *testing.T) {
	for name, tc := range map[string]struct {
		link *fakeLink
		want hub.Code
		says string
	}{
		"not subscribed":       {newLink(), hub.DeviceNotOnline, "not subscribed"},
		"subscribed elsewhere": {newLink("$iothub/methods/POST/other/#"), hub.DeviceNotOnline, "not subscribed"},
		"connection ended":     {&fakeLink{subscribed: map[string]byte{"$iothub/methods/POST/#": 0}, err: errors.New("gone")}, hub.DeviceNotOnline, "can't be called"},
		"no answer in time":    {newLink("$iothub/methods/POST/m/#"), hub.GatewayTimeout, "in time"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			if tc.want == hub.GatewayTimeout {
				cancel() // the time is over at once
			}
			defer cancel()
			_, err := attached(t, tc.link).invoke(ctx, callOf("m", "null"))
			if hub.CodeOf(err) != tc.want || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("invoke: %v, want %d that says %q", err, tc.want, tc.says)
			}
		})
	}
}

// Java's SDK, and every client that keeps what was not acknowledged, sends answers
// again on its next connection.
func TestAnswerOfAnEarlierConnection(t *testing.T) {
	before := newLink("$iothub/methods/POST/#")
	h := attached(t, before)
	lost := make(chan error, 1)
	go func() {
		_, err := h.invoke(t.Context(), callOf("reboot", ""))
		lost <- err
	}()
	stale := ridFrom(t, <-before.sent, "reboot")
	h.Detached()
	if err := <-lost; hub.CodeOf(err) != hub.ConnectionLost {
		t.Fatalf("the call that lost its connection: %v", err)
	}

	after := newLink("$iothub/methods/POST/#")
	after.epoch = before.epoch + 1
	h = attached(t, after)
	got := make(chan methods.Answer, 1)
	go func() {
		a, err := h.invoke(t.Context(), callOf("reboot", ""))
		if err != nil {
			t.Error(err)
		}
		got <- a
	}()
	fresh := ridFrom(t, <-after.sent, "reboot")
	for _, a := range [][2]string{{stale, `"stale"`}, {fresh, `"fresh"`}} {
		if err := answer(h, "200", a[0], a[1]); err != nil {
			t.Fatal(err)
		}
	}
	if a := <-got; string(a.Payload) != `"fresh"` {
		t.Errorf("the call got %s, the answer to another one", a.Payload)
	}
}

func TestInvokeBeforeConnack(t *testing.T) {
	f, devices, _ := newFace()
	h := admitted(t, f, devices, "dev1").Handler.(*handler)
	if _, err := h.invoke(t.Context(), callOf("m", "null")); hub.CodeOf(err) != hub.DeviceNotOnline {
		t.Errorf("invoke: %v, want DeviceNotOnline", err)
	}
}

func TestConnectionLostInMidCall(t *testing.T) {
	l := newLink("$iothub/methods/POST/#")
	h := attached(t, l)
	go func() {
		<-l.sent
		h.Detached()
	}()
	if _, err := h.invoke(t.Context(), callOf("m", "null")); hub.CodeOf(err) != hub.ConnectionLost {
		t.Errorf("invoke: %v, want ConnectionLost", err)
	}
	if _, err := h.invoke(t.Context(), callOf("m", "null")); hub.CodeOf(err) != hub.DeviceNotOnline {
		t.Errorf("invoke after the end: %v, want DeviceNotOnline", err)
	}
}

func TestAnswersNobodyWaitsFor(t *testing.T) {
	h := attached(t, newLink("$iothub/methods/POST/#"))
	for _, rid := range []string{"1", "7f", "zz", "", strings.Repeat("f", 100)} {
		if err := answer(h, "200", rid, ""); err != nil {
			t.Errorf("late answer with rid %q ends the connection: %v", rid, err)
		}
	}
	if n := h.face.LateAnswers(); n != 5 {
		t.Errorf("LateAnswers() = %d, want 5", n)
	}
	for _, topic := range []string{"$iothub/methods/res/", "$iothub/methods/res/abc/?$rid=1", "$iothub/methods/res/200"} {
		if err := h.Publish(&mqtt.Publish{Topic: []byte(topic)}, receipt{}, 0); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: %v, want ArgumentInvalid", topic, err)
		}
	}
}

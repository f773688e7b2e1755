package iothub

import (
	"bytes"
	"cmp"
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/span"
)

// Direct methods. The request goes out on
//
//	$iothub/methods/POST/{name}/?$rid={rid}
//
// and the answer comes back on
//
//	$iothub/methods/res/{status}/?$rid={rid}
//
// C# wants nothing behind the rid of a request, and Node no empty payload.

const prefixMethodAnswer = "$iothub/methods/res/"

var errDetached = hub.Errorf(hub.DeviceNotOnline, "the device's connection has just ended")

// maxCalls is the default of [Face.MaxCalls].
const maxCalls = 1000

// calls is the calls of one connection that wait for their answers.
type calls struct {
	mu      sync.Mutex
	waiting map[uint64]chan<- methods.Answer // by rid; nil until the first
	last    uint64
	gone    chan struct{} // closed when the connection has ended; nil until the first
	ended   bool
}

// begin enters a call, if there are less than most, and returns its rid, and
// what is closed when the connection ends. The epoch of the connection is part
// of the rid: a client may send an answer again on its next connection, where
// it must not be taken for that to another call.
func (c *calls) begin(epoch uint64, answer chan<- methods.Answer, most int) (rid uint64, gone <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
		return 0, nil, errDetached
	case len(c.waiting) >= most:
		return 0, nil, hub.Errorf(hub.TooManyCalls, "the device has %d calls to answer", most)
	case c.waiting == nil:
		c.waiting, c.gone = make(map[uint64]chan<- methods.Answer), make(chan struct{})
		c.last = epoch << 32
	}
	c.last++
	c.waiting[c.last] = answer
	return c.last, c.gone, nil
}

// end takes a call out and returns where its answer goes; nil when nobody
// waits for it any more.
func (c *calls) end(rid uint64) chan<- methods.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := c.waiting[rid]
	delete(c.waiting, rid)
	return answer
}

// close ends all calls: the connection is gone.
func (c *calls) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.gone != nil {
		close(c.gone)
	}
}

// Invoke implements [methods.Local] for the connections of s, the server of
// this face.
func (f *Face) Invoke(ctx context.Context, s *gateway.Server, c methods.Call) (methods.Answer, error) {
	h, ok := s.Handler(c.ID).(*handler)
	if !ok {
		return methods.Answer{}, hub.Errorf(hub.DeviceNotOnline, "%s is not connected", c.ID)
	}
	began := time.Now()
	a, err := h.invoke(ctx, c)
	f.counts.calls.Done(began, err)
	return a, err
}

func (h *handler) invoke(ctx context.Context, c methods.Call) (methods.Answer, error) {
	link := h.link.Load()
	if link == nil {
		return methods.Answer{}, hub.Errorf(hub.DeviceNotOnline, "%s is just connecting", c.ID)
	}
	qos, ok := methodQoS(*link, c.Method)
	if !ok {
		return methods.Answer{}, hub.Errorf(hub.DeviceNotOnline, "%s is connected but has not subscribed to direct methods", c.ID)
	}
	if err := h.allowCall(len(c.Payload)); err != nil {
		return methods.Answer{}, err
	}
	answer := make(chan methods.Answer, 1)
	epoch, _ := (*link).Epoch()
	rid, gone, err := h.calls.begin(epoch, answer, cmp.Or(h.face.MaxCalls, maxCalls))
	if err != nil {
		return methods.Answer{}, err
	}
	defer h.calls.end(rid)
	m := gateway.Message{
		Topic:   prefixMethods + c.Method + "/?$rid=" + strconv.FormatUint(rid, 16),
		Payload: c.Payload, QoS: qos, Yields: true,
	}
	asked := h.traceCall(c)
	a, err := h.ask(ctx, *link, m, waiting{answer, gone})
	if asked != nil {
		asked.End(span.Outcome{Err: err, Status: a.Status})
	}
	return a, err
}

// waiting is what a call waits for.
type waiting struct {
	answer <-chan methods.Answer
	gone   <-chan struct{} // closed when the connection has ended
}

// ask sends a call to the device and waits for its answer.
func (h *handler) ask(ctx context.Context, l gateway.Link, m gateway.Message, w waiting) (methods.Answer, error) {
	_, err := l.Send(m)
	h.went(methodCall, err)
	if hub.CodeOf(err) == hub.QuotaExceeded {
		return methods.Answer{}, hub.Errorf(hub.TooManyCalls, "%w", err)
	}
	if err != nil {
		return methods.Answer{}, hub.Errorf(hub.DeviceNotOnline, "%s can't be called: %w", h.id, err)
	}
	select {
	case a := <-w.answer:
		return a, nil
	case <-w.gone:
		err = hub.Errorf(hub.ConnectionLost, "%s lost its connection before it answered", h.id)
	case <-ctx.Done():
		err = hub.Errorf(hub.GatewayTimeout, "%s has not answered in time", h.id)
	}
	select {
	case a := <-w.answer: // it was there before: a device may answer and go
		return a, nil
	default:
		return methods.Answer{}, err
	}
}

// methodQoS is the QoS with which the client wants to be called.
func methodQoS(l gateway.Link, method string) (byte, bool) {
	if qos, ok := l.Subscription(prefixMethods + "#"); ok {
		return qos, true
	}
	return l.Subscription(prefixMethods + method + "/#")
}

// answerMethod prepares to take an answer. One that nobody waits for any more,
// or that names no call, is dropped and counted: the device can't know better.
func (h *handler) answerMethod(topic, payload []byte) (act func(), err error) {
	h.came(methodAnswer)
	status, rid, err := parseMethodAnswer(topic)
	if err != nil {
		return nil, err
	}
	return func() {
		answer := h.calls.end(rid)
		if answer == nil {
			h.face.lateAnswers.Add(1)
			return
		}
		answer <- methods.Answer{Status: status, Payload: bytes.Clone(payload)}
	}, nil
}

// parseMethodAnswer reads {status}/?$rid={rid} behind the prefix. A rid that
// is none of ours is 0, which no call has.
func parseMethodAnswer(topic []byte) (status int, rid uint64, err error) {
	rest := string(topic[len(prefixMethodAnswer):])
	text, query, ok := strings.Cut(rest, "/?")
	status, convErr := strconv.Atoi(text)
	if !ok || convErr != nil {
		return 0, 0, hub.Errorf(hub.ArgumentInvalid, "a method's answer goes to $iothub/methods/res/{status}/?$rid={rid}")
	}
	rid, _ = strconv.ParseUint(ridOf(query), 16, 64)
	return status, rid, nil
}

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/test/hubtest"
)

// What a device subscribes to for its conversations.
const (
	twinAnswers   = "$iothub/twin/res/#"
	desiredWrites = "$iothub/twin/PATCH/properties/desired/#"
	methodCalls   = "$iothub/methods/POST/#"
)

// Where a device publishes for them; the query of a topic is behind it.
const (
	twinGet      = "$iothub/twin/GET/?$rid="
	twinReported = "$iothub/twin/PATCH/properties/reported/?$rid="
)

// join is connect with subscriptions; the session is a clean one.
func (d *device) join(filters ...string) (*client, error) {
	c, _, err := d.connect()
	if err != nil {
		return nil, err
	}
	codes, err := c.subscribe(filters...)
	if err == nil && strings.Contains(string(codes), "\x80") {
		err = fmt.Errorf("subscribe to %v: codes % x", filters, codes)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// mustJoin is join where it has to succeed; t closes the connection.
func (d *device) mustJoin(t *testing.T, filters ...string) *client {
	t.Helper()
	c, err := d.join(filters...)
	if err != nil {
		t.Fatalf("connect %s: %v", d.id, err)
	}
	t.Cleanup(c.close)
	return c
}

// say publishes with QoS 0.
func (c *client) say(topic, body string) error {
	return c.send(&mqtt.Publish{Topic: []byte(topic), Payload: []byte(body)})
}

// hear returns the next PUBLISH, which is valid until the next call. Other
// packets are passed over.
func (c *client) hear() (*mqtt.Publish, error) {
	for {
		p, err := c.receive()
		if err != nil {
			return nil, err
		}
		if m, ok := p.(*mqtt.Publish); ok {
			return m, nil
		}
	}
}

// puback acknowledges what was heard, if it has to be.
func (c *client) puback(m *mqtt.Publish) error {
	if m.QoS == 0 {
		return nil
	}
	return c.send(&mqtt.Puback{ID: m.ID})
}

// result is the answer to a twin request.
type result struct {
	status  string
	rid     string
	version int64
	body    []byte
}

// twinResult reads the answer to a twin request.
func twinResult(m *mqtt.Publish) (result, bool) {
	rest, ok := strings.CutPrefix(string(m.Topic), "$iothub/twin/res/")
	if !ok {
		return result{}, false
	}
	r := result{body: append([]byte(nil), m.Payload...)}
	r.status, rest, _ = strings.Cut(rest, "/?$rid=")
	r.rid = rest
	if i := strings.LastIndex(rest, "&$version="); i >= 0 {
		r.rid = rest[:i]
		_, _ = fmt.Sscan(rest[i+len("&$version="):], &r.version)
	}
	return r, true
}

// askTwin sends a request and returns its answer.
func (c *client) askTwin(topic, rid, body string) (result, error) {
	if err := c.say(topic+rid, body); err != nil {
		return result{}, err
	}
	for {
		m, err := c.hear()
		if err != nil {
			return result{}, err
		}
		if r, ok := twinResult(m); ok {
			return r, nil
		}
	}
}

// refusalBody is what a device is told of a twin request that failed.
type refusalBody struct {
	ErrorCode  int    `json:"errorCode"`
	TrackingID string `json:"trackingId"`
	Message    string `json:"message"`
}

func (r result) refusal() (refusalBody, error) {
	var b refusalBody
	if err := json.Unmarshal(r.body, &b); err != nil {
		return b, fmt.Errorf("read the body %.200q of an answer with status %s: %w", r.body, r.status, err)
	}
	if b.ErrorCode/1000 == 0 || !strings.HasPrefix(fmt.Sprint(b.ErrorCode), r.status) || len(b.Message) < 10 {
		return b, fmt.Errorf("the answer with status %s has the body %.200s, want a code of that status and a sentence", r.status, r.body)
	}
	return b, nil
}

// serviceError is what a NATS service says when it refuses; code is empty when
// it does not.
func serviceError(m *nats.Msg) (code, sentence string) {
	return m.Header.Get(micro.ErrorCodeHeader), m.Header.Get(micro.ErrorHeader)
}

// life is what a back-end app has while the gateway, and its NATS, do not end.
type life struct {
	number int
	nc     *nats.Conn
	js     jetstream.JetStream
}

// request asks a NATS service. It waits for as long as the service may take.
func (l *life) request(subject string, header nats.Header, body string) (*nats.Msg, error) {
	return l.requestFor(patience, subject, header, body)
}

// requestFor is request by somebody who waits so long.
func (l *life) requestFor(most time.Duration, subject string, header nats.Header, body string) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	return l.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Header: header, Data: []byte(body)})
}

// lives is a gateway with its NATS that ends and starts again, for those who
// work across that.
type lives struct {
	*power
	g   *hubtest.Gateway
	now atomic.Pointer[life]
}

func newLives(g *hubtest.Gateway) *lives {
	l := &lives{power: newPower(), g: g}
	l.now.Store(&life{nc: g.NATS, js: g.JS})
	return l
}

// next waits until the gateway is up; it returns nil when that takes too long.
func (l *lives) next() *life {
	if !l.wait(nil) {
		return nil
	}
	return l.now.Load()
}

// interrupt has everybody wait while f makes another life of this one, which
// g has been connected to at the end.
func (l *lives) interrupt(f func()) {
	l.off()
	f()
	l.now.Store(&life{number: l.now.Load().number + 1, nc: l.g.NATS, js: l.g.JS})
	l.up()
}

// kill is an interruption by kill -9. before is called when the gateway is up
// again and before anybody uses it; it may be nil.
func (l *lives) kill(t *testing.T, before func()) {
	t.Helper()
	l.interrupt(func() {
		l.g.Stop(t, syscall.SIGKILL)
		l.g.Start(t)
		if before != nil {
			before()
		}
	})
}

// staff is goroutines that work until they are sent home.
type staff struct {
	ctx  context.Context //nolint:containedctx // it ends with finish
	home context.CancelFunc
	wg   sync.WaitGroup
}

func newStaff(t *testing.T) *staff {
	t.Helper()
	s := &staff{}
	s.ctx, s.home = context.WithCancel(t.Context())
	return s
}

func (s *staff) do(f func(context.Context)) { s.wg.Go(func() { f(s.ctx) }) }

func (s *staff) finish() {
	s.home()
	s.wg.Wait()
}

// warmth tells when each of n has done something since the last time.
type warmth struct {
	n int
	c chan struct{}
}

func newWarmth(n int) *warmth { return &warmth{n, make(chan struct{}, 100*n)} }

// note never waits: where nobody has awaited so many notes, one more tells
// nothing.
func (w *warmth) note() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// await waits for all of them.
func (w *warmth) await(t *testing.T, what string) {
	t.Helper()
	for range w.n {
		await(t, what, w.c)
	}
}

// rest is a pause before the next try.
func rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Millisecond):
	}
}

// eventually asks again until condition holds, and reports whether it did.
func eventually(condition func() bool) bool {
	limit := time.After(patience)
	for !condition() {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-limit:
			return condition()
		}
	}
	return true
}

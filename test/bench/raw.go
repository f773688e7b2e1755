//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/telemetry"
)

const (
	rawStream   = "RAW"
	rawSubject  = "raw.telemetry."
	rawInFlight = 1024
	rawDevices  = 1000
	rawCheck    = 64 // messages between two looks at the clock
)

// rawRun is one run of raw JetStream publishing, as a child is told of it.
type rawRun struct {
	Dir        string
	JS         bool // js.PublishMsgAsync instead of an own reply inbox
	Full       bool // the headers that the gateway writes, instead of five
	SyncAlways bool
	Payload    int
	Warm       time.Duration
	Measure    time.Duration
}

// rawResult is what the child answers.
type rawResult struct {
	Sent, Acked, Counted, Stored uint64
	Elapsed, CPU                 time.Duration
}

// raw runs a raw JetStream child and takes its result.
func (h *host) raw(ctx context.Context, r rawRun) (rawResult, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return rawResult{}, fmt.Errorf("encode run: %w", err)
	}
	var result rawResult
	p, err := h.startChild(ctx, &result, "raw", string(text))
	if err != nil {
		return rawResult{}, err
	}
	p.stop()
	return result, nil
}

// childRaw publishes to a stream of an embedded server in this process.
func childRaw(ctx context.Context, text string) error {
	var r rawRun
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fmt.Errorf("parse run: %w", err)
	}
	opts := natsOptions(r.Dir)
	opts.SyncAlways = r.SyncAlways
	s, err := startNATS(opts)
	if err != nil {
		return err
	}
	defer s.WaitForShutdown()
	defer s.Shutdown()
	p, err := newRawPublisher(ctx, s, r)
	if err != nil {
		return err
	}
	defer p.conn.Close()
	result, err := p.run(ctx)
	if err != nil {
		return err
	}
	return announce(result)
}

// rawPublisher keeps rawInFlight messages in flight.
type rawPublisher struct {
	spec     rawRun
	conn     *nats.Conn
	js       jetstream.JetStream
	stream   jetstream.Stream
	message  nats.Msg
	subjects []string
	replies  []string

	sent         uint64
	acked, wrong atomic.Uint64
	room         chan struct{} // holds a token when an ack may have made room
}

func newRawPublisher(ctx context.Context, s *natsserver.Server, r rawRun) (*rawPublisher, error) {
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return nil, fmt.Errorf("connect in process: %w", err)
	}
	p := &rawPublisher{spec: r, conn: conn, room: make(chan struct{}, 1)}
	if p.js, err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(rawInFlight)); err != nil {
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	p.stream, err = p.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: rawStream, Subjects: []string{rawSubject + ">"}, Storage: jetstream.FileStorage,
	})
	if err != nil {
		return nil, fmt.Errorf("create stream: %w", err)
	}
	p.message = nats.Msg{Header: r.header(), Data: bytes.Repeat([]byte("x"), r.Payload)}
	inbox := nats.NewInbox()
	for i := range rawDevices {
		p.subjects = append(p.subjects, rawSubject+deviceName(i))
	}
	for i := range rawInFlight {
		p.replies = append(p.replies, inbox+"."+strconv.Itoa(i))
	}
	if _, err := conn.Subscribe(inbox+".*", p.ack); err != nil {
		return nil, fmt.Errorf("subscribe inbox: %w", err)
	}
	return p, nil
}

// rawHeader is five headers of about 200 bytes together, or, full, those that
// the gateway writes for a message of the simulated devices.
func (r rawRun) header() nats.Header {
	h := nats.Header{
		"iothub-connection-device-id":          {"bench-00001"},
		"iothub-connection-auth-generation-id": {"638000000000000000"},
		"iothub-enqueuedtime":                  {"2026-01-02T03:04:05.678Z"},
		"iothub-message-source":                {"Telemetry"},
		"content-type":                         {"application/json"},
	}
	if r.Full {
		h["iothub-connection-auth-method"] = []string{telemetry.AuthMethodDevice}
		h["content-encoding"] = []string{"utf-8"}
		h["iothub-app-level"] = []string{"info"}
		h["iothub-app-site"] = []string{"plant 7"}
		h["iothub-app-seq"] = []string{"118"}
	}
	return h
}

// ack counts the answer of the stream.
func (p *rawPublisher) ack(m *nats.Msg) {
	if !bytes.HasPrefix(m.Data, []byte(`{"stream"`)) {
		p.wrong.Add(1)
	}
	p.acked.Add(1)
	select {
	case p.room <- struct{}{}:
	default:
	}
}

func (p *rawPublisher) run(ctx context.Context) (rawResult, error) {
	publish := p.viaInbox
	if p.spec.JS {
		publish = p.viaJS
	}
	from := time.Now().Add(p.spec.Warm)
	if err := p.until(ctx, from, publish); err != nil {
		return rawResult{}, err
	}
	begin, cpu, counted := time.Now(), ownTime(), p.acked.Load()
	if err := p.until(ctx, begin.Add(p.spec.Measure), publish); err != nil {
		return rawResult{}, err
	}
	r := rawResult{Elapsed: time.Since(begin), CPU: ownTime() - cpu, Counted: p.acked.Load() - counted}
	if err := p.drain(ctx); err != nil {
		return rawResult{}, err
	}
	info, err := p.stream.Info(ctx)
	if err != nil {
		return rawResult{}, fmt.Errorf("read stream: %w", err)
	}
	r.Sent, r.Acked, r.Stored = p.sent, p.acked.Load(), info.State.LastSeq
	if n := p.wrong.Load(); n > 0 {
		return rawResult{}, fmt.Errorf("%d of %d publishes were refused", n, r.Sent)
	}
	return r, nil
}

func (p *rawPublisher) until(ctx context.Context, end time.Time, publish func(context.Context) error) error {
	for time.Now().Before(end) {
		for range rawCheck {
			if err := publish(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// viaInbox publishes with a reply subject of one shared subscription.
func (p *rawPublisher) viaInbox(ctx context.Context) error {
	for p.sent-p.acked.Load() >= rawInFlight {
		select {
		case <-p.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.next()
	p.message.Reply = p.replies[p.sent%rawInFlight]
	return p.conn.PublishMsg(&p.message)
}

// viaJS publishes through nats.go's futures, which it bounds itself. The
// futures are not looked at: the count of what is stored is the check.
func (p *rawPublisher) viaJS(context.Context) error {
	p.next()
	m := nats.Msg{Subject: p.message.Subject, Header: p.message.Header, Data: p.message.Data}
	_, err := p.js.PublishMsgAsync(&m)
	p.acked.Store(p.sent - uint64(p.js.PublishAsyncPending()))
	return err
}

func (p *rawPublisher) next() {
	p.message.Subject = p.subjects[p.sent%rawDevices]
	p.sent++
}

func (p *rawPublisher) drain(ctx context.Context) error {
	if err := p.conn.Flush(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	late := time.After(drainTime)
	if p.spec.JS {
		select {
		case <-p.js.PublishAsyncComplete():
			p.acked.Store(p.sent)
			return nil
		case <-late:
			return errors.New("publishes stay unacknowledged")
		}
	}
	for p.acked.Load() < p.sent {
		select {
		case <-p.room:
		case <-late:
			return errors.New("publishes stay unacknowledged")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

package backend

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/telemetry"
)

// Events stores connection and lifecycle events in the stream HUB_EVENTS.
// Nobody waits for it: what comes is queued, stored at least once while NATS
// is there, and logged when it could not be. It is safe for concurrent use.
type Events struct {
	engine *Engine
	names  subject.Names
	hub    string
	log    zerolog.Logger

	queue chan notice
	over  chan struct{}
	wg    sync.WaitGroup
	once  sync.Once
}

var _ session.Events = (*Events)(nil)

const (
	eventQueue    = 16 << 10
	eventInFlight = 1024
)

// notice is one event on its way.
type notice struct {
	id      hub.Identity
	subject string
	body    []byte
	headers [][2]string
}

func newEvents(cfg Config, dial func(...nats.Option) (*nats.Conn, error)) (*Events, error) {
	cfg.MaxInFlight = min(cfg.MaxInFlight, eventInFlight)
	names := cfg.names()
	engine, err := newEngine(cfg, names.EventsStream(), dial)
	if err != nil {
		return nil, err
	}
	v := &Events{
		engine: engine, names: names, hub: cfg.hubName(), log: cfg.Log,
		queue: make(chan notice, eventQueue), over: make(chan struct{}),
	}
	v.wg.Go(v.run)
	return v, nil
}

// run hands the queue to the engine, in order.
func (v *Events) run() {
	for {
		select {
		case n := <-v.queue:
			v.engine.storeEvent(n, v)
		case <-v.over:
			for len(v.queue) > 0 {
				v.engine.storeEvent(<-v.queue, v)
			}
			return
		}
	}
}

// close stores what is queued and waits for it until ctx ends.
func (v *Events) close(ctx context.Context) {
	v.once.Do(func() { close(v.over) })
	done := make(chan struct{})
	go func() {
		v.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	v.engine.Close(ctx)
	<-done
}

// Connection implements [session.Events].
func (v *Events) Connection(e session.Event) {
	body, err := json.Marshal(connectionEvent{
		SequenceNumber: e.SequenceNumber(), Node: e.Node, Connection: e.Connection, Remote: e.Remote,
		ClientAgent: e.ClientAgent, Reason: e.Reason, Code: e.Code, Duration: e.Duration.Seconds(),
	})
	if err != nil {
		v.lost(e.ID, err)
		return
	}
	v.enqueue(notice{
		id: e.ID, subject: v.names.ConnectionEvent(e.ID), body: body,
		headers: v.headers(e.ID, e.Time, kind{session.EventSource, session.EventSchema, e.Type()}),
	})
}

// connectionEvent is the body: IoT Hub's sequence number, and what Hubgate
// knows besides.
type connectionEvent struct {
	SequenceNumber string   `json:"sequenceNumber"`
	Node           string   `json:"node,omitempty"`
	Connection     string   `json:"connection,omitempty"`
	Remote         string   `json:"remote,omitempty"`
	ClientAgent    string   `json:"clientAgent,omitempty"`
	Reason         string   `json:"reason,omitempty"`
	Code           hub.Code `json:"errorCode,omitempty"`
	Duration       float64  `json:"durationSeconds,omitempty"`
}

// kind is what an event is about.
type kind struct{ source, schema, opType string }

// headers is what every event that is not telemetry has, as IoT Hub names it.
func (v *Events) headers(id hub.Identity, at time.Time, k kind) [][2]string {
	h := [][2]string{
		{telemetry.HeaderDeviceID, id.Device},
		{telemetry.HeaderSource, k.source},
		{telemetry.Schema.Header(), k.schema},
		{telemetry.HeaderEnqueued, at.UTC().Format("2006-01-02T15:04:05.000Z")},
		{telemetry.ContentType.Header(), "application/json"},
		{telemetry.ContentEncoding.Header(), "utf-8"},
		{"opType", k.opType},
		{"deviceId", id.Device},
		{"operationTimestamp", at.UTC().Format("2006-01-02T15:04:05.0000000Z")},
	}
	if id.IsModule() {
		h = append(h, [2]string{telemetry.HeaderModuleID, id.Module}, [2]string{"moduleId", id.Module})
	}
	if v.hub != "" {
		h = append(h, [2]string{"hubName", v.hub})
	}
	return h
}

// enqueue takes an event, or drops it when the queue is full: connections do
// not wait for their events.
func (v *Events) enqueue(n notice) {
	select {
	case v.queue <- n:
	default:
		v.lost(n.id, hub.Errorf(hub.ServiceUnavailable, "%d events wait already", cap(v.queue)))
	}
}

// Stored implements [telemetry.Receipt].
func (v *Events) Stored(_ uint64, err error) {
	if err != nil {
		v.log.Warn().Err(err).Msg("an event was not stored")
	}
}

func (v *Events) lost(id hub.Identity, err error) {
	v.log.Warn().Err(err).Str("device_id", id.Device).Str("module_id", id.Module).Msg("an event was dropped")
}

// storeEvent is Store for an event.
func (e *Engine) storeEvent(n notice, done telemetry.Receipt) {
	s := e.reserve(int64(len(n.body)) + overhead)
	if s == nil {
		e.refuse(done, 0)
		return
	}
	for _, h := range n.headers {
		s.headers.Add(h[0], h[1])
	}
	s.done, s.tag = done, 0
	s.fill([]byte(n.subject), n.body)
	e.submit(s)
}

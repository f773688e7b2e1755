package backend

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/telemetry"
)

// Events stores connection and lifecycle events in the stream HUB_EVENTS.
// Nobody waits for it: what comes is queued, and stored at least once, however
// long NATS is away. What finds no room in the queue is dropped and logged, but for
// ends of connections. It is safe for concurrent use.
type Events struct {
	engine *Engine
	names  subject.Names
	hub    string
	log    zerolog.Logger

	queue   chan *notice
	dropped atomic.Uint64
	over    chan struct{}
	wg      sync.WaitGroup
	once    sync.Once

	mu   sync.Mutex
	owed map[ending]int // see [Events.owe]
	ends pending        // those that are on their way
}

// ending is the end of a connection.
type ending struct {
	id    hub.Identity
	epoch uint64
}

var _ session.Events = (*Events)(nil)

const (
	eventQueue    = 16 << 10
	eventInFlight = 1024
)

// notice is one event on its way, and hears what becomes of it.
type notice struct {
	events  *Events
	id      hub.Identity
	subject string
	kind    kind
	at      time.Time
	by      string // who has written what it tells of; empty: nobody says so
	body    []byte
	attempt int
	isEnd   bool // of a connection: it is owed until it is stored, or given up
	epoch   uint64
}

var _ telemetry.Receipt = (*notice)(nil)

func newEvents(cfg Config, connect linker) (*Events, error) {
	cfg.MaxInFlight = min(cfg.MaxInFlight, eventInFlight)
	names := cfg.names()
	engine, err := newEngine(cfg, names.EventsStream(), nil, connect) // nobody is promised an event
	if err != nil {
		return nil, err
	}
	v := &Events{
		engine: engine, names: names, hub: cfg.hubName(), log: cfg.Log,
		queue: make(chan *notice, eventQueue), over: make(chan struct{}), owed: map[ending]int{},
	}
	v.wg.Go(v.run)
	return v, nil
}

// run hands the queue to the engine, in order.
func (v *Events) run() {
	for {
		select {
		case n := <-v.queue:
			v.engine.storeEvent(n)
		case <-v.over:
			for len(v.queue) > 0 {
				v.engine.storeEvent(<-v.queue)
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
	n, err := v.connection(e)
	if err != nil {
		v.lost(e.ID, err)
		return
	}
	if n.isEnd {
		v.owe(ending{n.id, n.epoch})
		v.ends.begin()
	}
	v.enqueue(n)
}

// owe notes that this process tells an end, or may have to. Whoever calls it calls
// pay, once, when it is told, or when it is not this process that tells it.
func (v *Events) owe(e ending) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.owed[e]++
}

func (v *Events) pay(e ending) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.owed[e]--; v.owed[e] == 0 {
		delete(v.owed, e)
	}
}

// owes reports whether an end may still have to be told by this process.
func (v *Events) owes(e ending) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.owed[e] > 0
}

// owesTwice reports whether somebody besides the caller, who owes e, may tell it.
func (v *Events) owesTwice(e ending) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.owed[e] > 1
}

// settle waits until no end is on its way any more, and reports false when ctx has
// ended before.
func (v *Events) settle(ctx context.Context) bool { return v.ends.wait(ctx) }

// connection is the notice of a connection event.
func (v *Events) connection(e session.Event) (*notice, error) {
	body, err := eventBody(e)
	return &notice{
		events: v, id: e.ID, subject: v.names.ConnectionEvent(e.ID), body: body,
		at: e.Time, kind: kind{session.EventSource, session.EventSchema, e.Type()}, isEnd: !e.Connected, epoch: e.Epoch,
	}, err
}

// kind is what an event is about.
type kind struct{ source, schema, opType string }

// headers appends what every event that is not telemetry has, as IoT Hub names it.
func (n *notice) headers(h *telemetry.Headers) {
	at := n.at.UTC().Format("2006-01-02T15:04:05.0000000Z")
	h.Add(telemetry.HeaderDeviceID, n.id.Device)
	h.Add(telemetry.HeaderSource, n.kind.source)
	h.Add(telemetry.Schema.Header(), n.kind.schema)
	h.Add(telemetry.HeaderEnqueued, at[:len(at)-len("0000Z")]+"Z")
	h.Add(telemetry.ContentType.Header(), "application/json")
	h.Add(telemetry.ContentEncoding.Header(), "utf-8")
	h.Add("opType", n.kind.opType)
	h.Add("deviceId", n.id.Device)
	h.Add("operationTimestamp", at)
	if n.id.IsModule() {
		h.Add(telemetry.HeaderModuleID, n.id.Module)
		h.Add("moduleId", n.id.Module)
	}
	if n.events.hub != "" {
		h.Add("hubName", n.events.hub)
	}
	if n.by != "" {
		h.Add(subject.ByHeader, n.by)
	}
}

// enqueue takes an event. Nobody waits when the queue is full: the end of a
// connection comes again later, of which there are [session.MaxEnds] for each
// identity at most, and what else there is is dropped.
func (v *Events) enqueue(n *notice) {
	select {
	case v.queue <- n:
		return
	default:
	}
	why := hub.Errorf(hub.ServiceUnavailable, "%d events wait already", cap(v.queue))
	if n.isEnd {
		n.attempt++
		v.again(n, why)
		return
	}
	v.dropped.Add(1)
	v.lost(n.id, why)
}

func (v *Events) giveUp(n *notice, why error) {
	v.lost(n.id, why)
	v.done(n)
}

// done says that an event is not on its way any more.
func (v *Events) done(n *notice) {
	if n.isEnd {
		v.pay(ending{n.id, n.epoch})
		v.ends.end()
	}
}

func (v *Events) lost(id hub.Identity, err error) {
	v.log.Warn().Err(err).Str("device_id", id.Device).Str("module_id", id.Module).Msg("an event was dropped")
}

// Stored implements [telemetry.Receipt].
func (n *notice) Stored(_ uint64, err error) {
	switch {
	case err == nil:
		n.events.done(n)
	case hub.CodeOf(err) != hub.ServiceUnavailable: // the stream takes no such event
		n.events.giveUp(n, err)
	default:
		n.attempt++
		n.events.again(n, err)
	}
}

// again stores an event later that the stream has not acknowledged in time.
func (v *Events) again(n *notice, why error) {
	select {
	case <-v.over:
		v.giveUp(n, why)
		return
	default:
	}
	if n.attempt == 1 {
		v.log.Warn().Err(why).Msg("an event was not stored in time; trying until it is")
	}
	time.AfterFunc(backoff(n.attempt), func() { v.enqueue(n) })
}

// storeEvent is Store for an event.
func (e *Engine) storeEvent(n *notice) {
	s := e.reserve(int64(len(n.body)) + overhead)
	if s == nil {
		e.refuse(n, 0)
		return
	}
	n.headers(&s.headers)
	s.done, s.tag = n, 0
	s.fill(append(s.storage(), n.subject...), n.body)
	e.submit(s)
}

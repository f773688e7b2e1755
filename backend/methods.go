package backend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/meter"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/span"
	"github.com/hubgate/hubgate/timeline"
)

// What may be in flight on a node; more is refused with Throttled.
const (
	maxCalls      = 8192
	maxCallBytes  = 64 << 20
	queueRestart  = time.Second
	payloadSchema = `{"description":"any JSON; nothing is null. Headers Hub-Connect-Timeout, Hub-Response-Timeout, Hub-Wait and Hub-Reply-To hold durations such as 30s, and a subject"}`
	answerSchema  = `{"description":"the device's payload as it was sent; its status is in the header Hub-Status. With Hub-Wait: a receipt, an object with id and expires"}`
)

// MethodService invokes direct methods for back-end apps who ask over NATS, at
// once or when the device comes.
type MethodService struct {
	Invoker *methods.Invoker
	Queue   *methods.Queue

	nc    *nats.Conn
	names subject.Names
	relay *relay
	log   zerolog.Logger

	recorder *timeline.Recorder
	tracer   span.Tracer // nil: nothing is traced

	room   *room
	crew   *crew
	counts methodCounts
	count  func(service, operation string) *meter.Operation
	micros []micro.Service
	direct *nats.Subscription
	ctx    context.Context //nolint:containedctx // of all calls: it ends with Stop
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// methodCounts is what nats micro stats shows beside its own numbers, which do
// not know of answers that come later.
type methodCounts struct{ answered, failed, late atomic.Uint64 }

// ServeMethods registers the NATS services hub-method and hub-command of this
// node, and makes the calls that wait for devices, until Stop. local are the
// devices that are connected to this node.
func (b *Backbone) ServeMethods(ctx context.Context, node string, local methods.Reachable) (*MethodService, error) {
	commands, err := openBucket(ctx, b.js, b.names.CommandBucket())
	if err != nil {
		return nil, err
	}
	r := &relay{nc: b.nc, names: b.names}
	s := &MethodService{
		Invoker: &methods.Invoker{Node: node, Local: local, Presence: b.sessions, Devices: b.devices, Remote: r, Arrivals: r, Observed: b.requests.of("method", "invoke").Done},
		nc:      b.nc, names: b.names, relay: r, log: b.cfg.Log,
		room: newRoom(maxCalls, maxCallBytes), recorder: b.recorder, tracer: b.cfg.Tracer, count: b.requests.of,
	}
	s.Queue = &methods.Queue{
		Node: node, Local: local, Devices: b.devices, Commands: &CommandStore{commands},
		Results: &results{nc: b.nc, js: b.js, events: b.events, failed: s.noteFailure}, Report: s.report, Limits: b.cfg.Commands,
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.crew = newCrew(s.ctx)
	s.wg.Go(func() { s.runQueue(s.ctx) })
	if err := s.register(b.cfg, node); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Callable says that direct methods of id can be called on this node from now
// on. It does not block.
func (s *MethodService) Callable(id hub.Identity) {
	if err := s.relay.announce(id); err != nil {
		s.log.Debug().Err(err).Str("device_id", id.Device).Str("module_id", id.Module).Msg("the arrival of a device could not be announced")
	}
	s.Queue.Ready(id)
}

// Stop takes no more requests and waits for the calls that are being made.
// Connections of devices should have ended before.
func (s *MethodService) Stop() error {
	var errs []error
	for _, m := range s.micros {
		errs = append(errs, m.Stop())
	}
	if s.direct != nil {
		_ = s.direct.Unsubscribe()
	}
	s.Queue.Close()
	s.stop()
	s.room.close()
	s.crew.wait()
	s.wg.Wait()
	return errors.Join(errs...)
}

func (s *MethodService) runQueue(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.Queue.Run(ctx); err != nil {
			s.log.Error().Err(err).Msg("watching commands was interrupted")
			wait(ctx, queueRestart)
		}
	}
}

func (s *MethodService) report(c methods.Command, err error) {
	s.log.Warn().Err(err).Str("device_id", c.For.Device).Str("module_id", c.For.Module).Str("command", c.ID).Msg("a command could not go on")
}

func (s *MethodService) register(cfg Config, node string) error {
	err := s.add(micro.Config{
		Name: s.names.MethodName(), Version: cfg.Version, Description: "direct methods of devices and modules",
		Metadata: map[string]string{subject.HostNameKey: cfg.HostName}, StatsHandler: s.stats,
	}, []endpoint{{name: "invoke", subject: s.names.MethodAll(), request: payloadSchema, response: answerSchema}}, s.serveInvoke)
	if err == nil {
		err = s.add(micro.Config{
			Name: s.names.CommandName(), Version: cfg.Version, Description: "calls that wait for their devices",
			Metadata: map[string]string{subject.HostNameKey: cfg.HostName},
		}, s.commandEndpoints(), s.serveCommand)
	}
	if err != nil {
		return err
	}
	s.direct, err = s.nc.Subscribe(s.names.NodeMethod(node), s.serveNode)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", s.names.NodeMethod(node), err)
	}
	return s.nc.FlushTimeout(requestTimeout)
}

func (s *MethodService) add(cfg micro.Config, endpoints []endpoint, handler func(endpoint) micro.HandlerFunc) error {
	m, err := micro.AddService(s.nc, cfg)
	if err != nil {
		return fmt.Errorf("register the NATS service %s: %w", cfg.Name, err)
	}
	s.micros = append(s.micros, m)
	for _, e := range endpoints {
		if err := m.AddEndpoint(e.name, handler(e), micro.WithEndpointSubject(e.subject), micro.WithEndpointMetadata(e.metadata())); err != nil {
			return fmt.Errorf("register the NATS endpoint %s: %w", e.subject, err)
		}
	}
	return nil
}

func (s *MethodService) stats(*micro.Endpoint) any {
	return map[string]uint64{
		"in_flight": uint64(s.room.inUse()), "answered": s.counts.answered.Load(), "failed": s.counts.failed.Load(), "too_late": s.counts.late.Load(),
	}
}

// serveInvoke answers hub.method.…. It leaves the connection's reader at once.
func (s *MethodService) serveInvoke(endpoint) micro.HandlerFunc {
	return func(m micro.Request) {
		s.begin(asked{m.Subject(), m.Reply(), len(m.Data())}, func() (reply, error) {
			var o methods.Order
			var err error
			if o.ID, o.Method, err = s.names.ParseMethod(m.Subject()); err != nil {
				return reply{}, err
			}
			o.Payload = m.Data()
			stored, err := o.ParseHeaders(m.Headers())
			if err != nil {
				return reply{}, err
			}
			if stored {
				return s.store(o)
			}
			return answerOf(s.invoke(s.ctx, o.Call, m.Subject()))
		})
	}
}

// noteFailure tells the device's timeline of a call that the device has not
// answered. A device that does not exist has none: of a call that breaks a rule nobody
// has looked yet whether it does.
func (s *MethodService) noteFailure(id hub.Identity, method string, err error) {
	code := hub.CodeOf(err)
	switch code {
	case hub.DeviceNotFound, hub.ModuleNotFound:
		return
	case hub.ArgumentInvalid, hub.MessageTooLarge:
		ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
		defer cancel()
		if _, unknown := s.Invoker.Devices.Generation(ctx, id); unknown != nil {
			return
		}
	default:
	}
	text := code.Hint()
	if e, ok := errors.AsType[*hub.Error](err); ok {
		text = e.Message
	}
	s.recorder.Record(timeline.Entry{ID: id, What: timeline.MethodFailed, Code: code, Message: "the method " + strconv.Quote(method) + " failed: " + text})
}

// Invoke makes a call for a face of this node, as the service does for those
// who ask over NATS; see [methods.Invoker.Invoke]. It ends with ctx too: then
// nobody waits for the device any more.
func (s *MethodService) Invoke(ctx context.Context, c methods.Call) (methods.Answer, error) {
	size := len(c.Payload)
	if err := s.room.take(size); err != nil {
		return methods.Answer{}, err
	}
	defer s.room.give(size)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	return s.invoke(ctx, c, "")
}

// invoke is call with its span; by is the subject that it came by, empty if it did
// not come by NATS.
func (s *MethodService) invoke(ctx context.Context, c methods.Call, by string) (methods.Answer, error) {
	if s.tracer == nil {
		return s.call(ctx, c)
	}
	var traced span.Span
	about := span.About{ID: c.ID, Method: c.Method, Destination: by, Size: len(c.Payload)}
	traced, c.Trace = s.tracer.Begin(span.Call, about, c.Trace)
	a, err := s.call(ctx, c)
	if traced != nil {
		traced.End(span.Outcome{Err: err, Status: a.Status})
	}
	return a, err
}

// call makes a call that ends with ctx, which ends with the service: whatever
// step that cuts off, the caller hears that the gateway stops. The face that has ended
// ctx may say itself why.
func (s *MethodService) call(ctx context.Context, c methods.Call) (methods.Answer, error) {
	a, err := s.Invoker.Invoke(ctx, c)
	why, said := errors.AsType[*hub.Error](context.Cause(ctx))
	switch {
	case err != nil && said:
		err = why
	case s.ctx.Err() != nil && hub.CodeOf(err) == hub.ServerError:
		err = errStopping()
	case err != nil && s.ctx.Err() == nil && errors.Is(ctx.Err(), context.Canceled):
		err = hub.Errorf(hub.GatewayTimeout, "who has called did not wait until %s answered", c.ID)
	}
	if err != nil {
		s.noteFailure(c.ID, c.Method, err)
	}
	return a, err
}

// serveNode answers hub.session.method.{node}.
func (s *MethodService) serveNode(m *nats.Msg) {
	s.begin(asked{m.Subject, m.Reply, len(m.Data)}, func() (reply, error) {
		c, err := methods.ParseCall(m.Header, m.Data)
		if err != nil {
			return reply{}, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), c.ResponseTimeout)
		defer cancel()
		return answerOf(s.Invoker.Local.Invoke(ctx, c))
	})
}

func (s *MethodService) store(o methods.Order) (reply, error) {
	if o.ReplyTo != "" && (!subject.ValidSubject(o.ReplyTo) || s.names.Owns(o.ReplyTo)) {
		return reply{}, hub.Errorf(hub.ArgumentInvalid, "%s is %.64q: give a subject without wildcards that belongs neither to the hub nor to NATS", methods.HeaderReplyTo, o.ReplyTo)
	}
	ctx, cancel := context.WithTimeout(context.Background(), serviceTimeout)
	defer cancel()
	c, err := s.Queue.Submit(ctx, o)
	if err != nil {
		return reply{}, err
	}
	r, err := jsonReply(receiptOf(c))
	r.header = map[string][]string{methods.HeaderCommandID: {c.ID}, methods.HeaderStatus: {"202"}}
	return r, err
}

// asked is what matters of a request to whoever answers it.
type asked struct {
	subject, replyTo string
	size             int
}

// reply is what a request is answered with.
type reply struct {
	header map[string][]string
	body   []byte
}

func answerOf(a methods.Answer, err error) (reply, error) {
	return reply{a.Headers(), a.Payload}, err
}

// begin answers a request with what f returns, in a goroutine of its own
// unless too many have one. What nobody has asked is not done; see [isAsked].
func (s *MethodService) begin(q asked, f func() (reply, error)) {
	if !isAsked(q.replyTo) {
		notObeyed(s.log, q.subject, q.replyTo)
		return
	}
	if err := s.room.take(q.size); err != nil {
		s.respond(q, reply{}, err)
		return
	}
	s.crew.do(func() {
		defer s.room.give(q.size)
		r, err := guarded(s.log, q.subject, f)
		s.respond(q, r, err)
	})
}

// respond sends a reply, or IoT Hub's code and a sentence. micro's own way to
// respond must not be used after its handler has returned.
func (s *MethodService) respond(q asked, r reply, err error) {
	m := &nats.Msg{Subject: q.replyTo, Header: r.header, Data: r.body}
	if err == nil {
		s.counts.answered.Add(1)
	} else {
		s.counts.failed.Add(1)
		m.Header, m.Data = s.errorHeader(err), nil
	}
	if err := s.nc.PublishMsg(m); err != nil {
		s.counts.late.Add(1)
		s.log.Warn().Err(err).Msg("a request could not be answered")
	}
}

// errorHeader is what a failed request is answered with. Of a fault that has no
// code the caller learns nothing more.
func (s *MethodService) errorHeader(err error) nats.Header {
	code := hub.CodeOf(err)
	text := code.Hint()
	if e, ok := errors.AsType[*hub.Error](err); ok {
		text = e.Message
	} else {
		s.log.Error().Err(err).Msg("a request failed")
	}
	text = strings.Map(func(r rune) rune { // a header is one line
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, text)
	return nats.Header{micro.ErrorCodeHeader: {strconv.Itoa(int(code))}, micro.ErrorHeader: {text}}
}

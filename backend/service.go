package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/meter"
)

const serviceTimeout = 10 * time.Second // of one request

// RegistryService answers back-end apps who ask for identities over NATS.
type RegistryService struct {
	responder

	registry *identity.Registry
	maxReply int // bytes of items in the answer to a list
	micro    micro.Service
}

// ServeRegistry registers the NATS service hub-registry, until Stop or until
// the backbone is closed. Several nodes share the requests.
func (b *Backbone) ServeRegistry(r *identity.Registry) (*RegistryService, error) {
	s := &RegistryService{
		responder: b.responder("registry"), registry: r,
		maxReply: int(b.nc.MaxPayload()) - 64<<10,
	}
	var err error
	s.micro, err = b.service(micro.Config{Name: b.names.RegistryName(), Description: "identities of devices and modules"}, s.endpoints(), s.handler)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Stop takes no more requests.
func (s *RegistryService) Stop() error { return s.micro.Stop() }

// endpoint is one operation of the service.
type endpoint struct {
	name     string
	subject  string
	family   string // before the identity; empty: the subject has none
	request  string // JSON schemas
	response string
	handle   func(context.Context, request) (any, error)
}

func (e endpoint) metadata() map[string]string {
	return map[string]string{"request_schema": e.request, "response_schema": e.response}
}

func (s *RegistryService) endpoints() []endpoint {
	all, family := s.names.RegistryAll, func(v subject.Verb) string { return "registry." + string(v) }
	return []endpoint{
		{"get", all(subject.Get), family(subject.Get), emptySchema, identitySchema, s.get},
		{"keys", all(subject.Keys), family(subject.Keys), emptySchema, identitySchema, s.keys},
		{"put", all(subject.Put), family(subject.Put), newIdentitySchema, identitySchema, s.put},
		{"delete", all(subject.Delete), family(subject.Delete), emptySchema, emptySchema, s.delete},
		{"list", s.names.RegistryVerb(subject.List), "", listSchema, itemsSchema, s.list},
		{"list-modules", all(subject.List), family(subject.List), listSchema, itemsSchema, s.list},
	}
}

// request is what an operation gets.
type request struct {
	subject string
	id      hub.Identity
	ifMatch string
	by      string // who asks, as he calls himself
	body    []byte
}

// decode reads the body into v; an empty body is an empty object. Unknown
// fields are refused: what has no effect must not look as if it had.
func (r request) decode(v any) error {
	if len(bytes.TrimSpace(r.body)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("something follows the JSON object")
	}
	return hub.Errorf(hub.ArgumentInvalid, "the body of the request: %w", err)
}

// responder answers the requests to a service.
type responder struct {
	names subject.Names
	log   zerolog.Logger
	count func(operation string) *meter.Operation
	most  func() int64 // bytes that NATS takes in an answer
}

// responder is that of a service, whose requests are counted under a name.
func (b *Backbone) responder(service string) responder {
	return responder{b.names, b.cfg.Log, func(operation string) *meter.Operation { return b.requests.of(service, operation) }, b.nc.MaxPayload}
}

func (s responder) handler(e endpoint) micro.HandlerFunc {
	count := s.count(e.name)
	return func(m micro.Request) {
		if !isAsked(m.Reply()) {
			notObeyed(s.log, m.Subject(), m.Reply())
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), serviceTimeout)
		defer cancel()
		began := time.Now()
		text, err := guarded(s.log, m.Subject(), func() (raw, error) { return s.answer(ctx, e, m) })
		count.Done(began, err)
		if err != nil {
			err = s.refuse(m, err)
		} else {
			err = m.Respond(text)
		}
		if err != nil {
			s.log.Warn().Err(err).Str("subject", m.Subject()).Msg("a request could not be answered")
		}
	}
}

// guarded calls what answers a request. A panic is a fault of this request and of no
// other.
func guarded[T any](log zerolog.Logger, to string, answer func() (T, error)) (out T, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			log.Error().Interface("panic", fault).Str("subject", to).Bytes("stack", debug.Stack()).Msg("a request has met a fault of the gateway")
			err = hub.Errorf(hub.ServerError, "the gateway has a fault here; its log has the details")
		}
	}()
	return answer()
}

// isAsked reports whether a request has a reply subject that a client can have
// chosen. Who may read a stream can have NATS deliver its messages to any
// subject, as if they were requests: they come without a reply, or with one of
// JetStream's own, and nobody has to be obeyed who can't ask himself.
func isAsked(reply string) bool { return reply != "" && !strings.HasPrefix(reply, "$JS.") }

// isAnnounced reports whether a message can be one that a node has published for the
// others: what comes out of a stream has a reply subject or headers, in whichever way
// somebody has it delivered.
func isAnnounced(m *nats.Msg) bool { return m.Reply == "" && len(m.Header) == 0 }

// notObeyed tells the log of what is no request by [isAsked].
func notObeyed(log zerolog.Logger, to, reply string) {
	log.Warn().Str("subject", to).Str("reply", reply).Msg("a request that nobody waits for is not obeyed")
}

// answer is the body of an answer. One that NATS does not take is refused: who has
// asked would hear nothing.
func (s responder) answer(ctx context.Context, e endpoint, m micro.Request) (raw, error) {
	r := request{subject: m.Subject(), ifMatch: m.Headers().Get("If-Match"), by: m.Headers().Get(subject.ByHeader), body: m.Data()}
	if e.family != "" {
		var err error
		if r.id, err = s.names.Parse(e.family, m.Subject()); err != nil {
			return nil, err
		}
	}
	v, err := e.handle(ctx, r)
	if err != nil {
		return nil, err
	}
	text, ok := v.(raw)
	if !ok {
		if text, err = json.Marshal(v); err != nil {
			return nil, hub.Errorf(hub.ServerError, "write the answer as JSON: %w", err)
		}
	}
	if most := s.most(); int64(len(text)) > most {
		return nil, hub.Errorf(hub.MessageTooLarge, "the answer has %d bytes, and NATS takes %d in a message: raise max_payload, or ask for less", len(text), most)
	}
	return text, nil
}

// refuse answers with IoT Hub's code and a sentence. Of a fault that has no
// code the caller learns nothing more.
func (s responder) refuse(m micro.Request, err error) error {
	code := hub.CodeOf(err)
	text := code.Hint()
	if e, ok := errors.AsType[*hub.Error](err); ok {
		text = e.Message
	} else {
		s.log.Error().Err(err).Str("subject", m.Subject()).Msg("a request failed")
	}
	return m.Error(strconv.Itoa(int(code)), text, nil)
}

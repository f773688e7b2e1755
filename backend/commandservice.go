package backend

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

const (
	cancelSchema   = `{"type":"object","required":["id"],"properties":{"id":{"type":"string"}},"additionalProperties":false}`
	receiptSchema  = `{"type":"object","required":["id","deviceId","method","state","accepted","expires"],"properties":{"id":{"type":"string"},"deviceId":{"type":"string"},"moduleId":{"type":"string"},"method":{"type":"string"},"state":{"enum":["pending","begun","finished"]},"accepted":{"type":"string"},"expires":{"type":"string"},"replyTo":{"type":"string"}}}`
	receiptsSchema = `{"type":"object","required":["items"],"properties":{"items":{"type":"array","items":` + receiptSchema + `},"next":{"type":"string","description":"for the after of the next request; missing at the end"}}}`
)

func (s *MethodService) commandEndpoints() []endpoint {
	family := func(v subject.Verb) string { return "command." + string(v) }
	return []endpoint{
		{"list", s.names.CommandVerb(subject.List), "", listSchema, receiptsSchema, s.listCommands},
		{"list-device", s.names.CommandAll(subject.List), family(subject.List), listSchema, receiptsSchema, s.listCommands},
		{"cancel", s.names.CommandAll(subject.Cancel), family(subject.Cancel), cancelSchema, receiptSchema, s.cancelCommand},
	}
}

// serveCommand answers an operation of the service hub-command.
func (s *MethodService) serveCommand(e endpoint) micro.HandlerFunc {
	count := s.count("command", e.name)
	return func(m micro.Request) {
		s.begin(asked{m.Subject(), m.Reply(), len(m.Data())}, func() (reply, error) {
			began := time.Now()
			r, err := s.commandReply(e, m)
			count.Done(began, err)
			return r, err
		})
	}
}

func (s *MethodService) commandReply(e endpoint, m micro.Request) (reply, error) {
	r := request{body: m.Data()}
	if e.family != "" {
		var err error
		if r.id, err = s.names.Parse(e.family, m.Subject()); err != nil {
			return reply{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), serviceTimeout)
	defer cancel()
	v, err := e.handle(ctx, r)
	if err != nil {
		return reply{}, err
	}
	return jsonReply(v)
}

func jsonReply(v any) (reply, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return reply{}, hub.Errorf(hub.ServerError, "write the answer as JSON: %w", err)
	}
	return reply{body: b}, nil
}

// receipt is a command as back-end apps see it.
type receipt struct {
	ID       string        `json:"id"`
	DeviceID string        `json:"deviceId"`
	ModuleID string        `json:"moduleId,omitempty"`
	Method   string        `json:"method"`
	State    methods.State `json:"state"`
	Accepted time.Time     `json:"accepted"`
	Expires  time.Time     `json:"expires"`
	ReplyTo  string        `json:"replyTo,omitempty"`
}

func receiptOf(c methods.Command) receipt {
	return receipt{
		ID: c.ID, DeviceID: c.For.Device, ModuleID: c.For.Module, Method: c.Method,
		State: c.State, Accepted: c.Accepted.UTC(), Expires: c.Expires.UTC(), ReplyTo: c.ReplyTo,
	}
}

// listCommands answers hub.command.list and hub.command.list.{device}[.{module}].
// A page ends where a message does.
func (s *MethodService) listCommands(ctx context.Context, r request) (any, error) {
	var q struct {
		After string `json:"after"`
		Top   int    `json:"top"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	found, more, err := s.Queue.List(ctx, methods.Query{For: r.id, After: q.After, Limit: q.Top})
	if err != nil {
		return nil, err
	}
	p := newPager(q.Top, int(s.nc.MaxPayload())-envelope)
	for _, c := range found {
		item, err := json.Marshal(receiptOf(c))
		if err != nil {
			return nil, hub.Errorf(hub.ServerError, "write the command %s as JSON: %w", c.ID, err)
		}
		if !p.add(c.ID, item) {
			return p.page, nil
		}
	}
	if more {
		return p.page, nil
	}
	return p.last(), nil
}

// cancelCommand answers hub.command.cancel.{device}[.{module}].
func (s *MethodService) cancelCommand(ctx context.Context, r request) (any, error) {
	var q struct {
		ID string `json:"id"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	if !methods.ValidCommandID(q.ID) {
		return nil, hub.Errorf(hub.ArgumentInvalid, "%.64q is not the id of a command", q.ID)
	}
	c, err := s.Queue.Cancel(ctx, r.id, q.ID)
	if err != nil {
		return nil, err
	}
	return receiptOf(c), nil
}

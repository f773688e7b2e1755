package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// callGrace is how much longer than its timeouts a call is waited for.
const callGrace = 5 * time.Second

// Methods calls the direct methods of devices over NATS. Its errors are
// *hub.Error with the hub's own code; ServiceUnavailable when no hub answers.
// It is safe for concurrent use.
type Methods struct{ c *Client }

// Methods returns the direct methods of the hub's devices.
func (c *Client) Methods() *Methods { return &Methods{c} }

// Invoke calls a device and returns its answer, whatever its status. It fails
// with DeviceNotFound, DeviceNotOnline when the device was not called,
// GatewayTimeout when it has not answered, and ConnectionLost; after the last
// two nobody knows whether the device has acted. A ctx without a deadline is
// fine: the call's own timeouts hold.
func (m *Methods) Invoke(ctx context.Context, call methods.Call) (methods.Answer, error) {
	o := methods.Order{Call: call}
	if err := o.Call.Complete(); err != nil {
		return methods.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout+o.ResponseTimeout+callGrace)
	defer cancel()
	reply, err := m.ask(ctx, o)
	if err != nil {
		return methods.Answer{}, err
	}
	a, ok := methods.ParseAnswer(reply.Header, reply.Data)
	if !ok {
		return methods.Answer{}, hub.Errorf(hub.ServerError, "the hub's answer has no %s", methods.HeaderStatus)
	}
	return a, nil
}

// Receipt is what the hub says of a call that it keeps until the device comes.
type Receipt struct {
	ID       string        `json:"id"`
	DeviceID string        `json:"deviceId"`
	ModuleID string        `json:"moduleId,omitempty"`
	Method   string        `json:"method"`
	State    methods.State `json:"state"`
	Accepted time.Time     `json:"accepted"`
	Expires  time.Time     `json:"expires"`
	ReplyTo  string        `json:"replyTo,omitempty"`
}

// InvokeWhenOnline has the hub keep a call and make it once, when the device
// comes within the order's Wait. When it returns without an error, the call is
// stored. Its result is an event on hub.events.command.…, and comes to ReplyTo
// if that is set: read it with [ParseResult].
func (m *Methods) InvokeWhenOnline(ctx context.Context, o methods.Order) (Receipt, error) {
	if err := o.Complete(); err != nil {
		return Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	reply, err := m.ask(ctx, o)
	if err != nil {
		return Receipt{}, err
	}
	var r Receipt
	if err := json.Unmarshal(reply.Data, &r); err != nil {
		return Receipt{}, hub.Errorf(hub.ServerError, "the hub's receipt can't be read: %w", err)
	}
	return r, nil
}

// ask sends a call and returns the reply, or the error in it.
func (m *Methods) ask(ctx context.Context, o methods.Order) (*nats.Msg, error) {
	if !hub.ValidID(o.ID.Device) || o.ID.IsModule() && !hub.ValidID(o.ID.Module) {
		return nil, hub.Errorf(hub.ArgumentInvalid, "%q is not the id of a device or module", o.ID)
	}
	s := m.c.names.Method(o.ID, o.Method)
	return m.c.ask(ctx, &nats.Msg{Subject: s, Header: o.Headers(), Data: o.Payload})
}

// ListCommands goes through the calls that wait, the oldest first: all of them
// for the zero Identity, else those of one device or module. An error ends it.
func (m *Methods) ListCommands(ctx context.Context, id hub.Identity) iter.Seq2[Receipt, error] {
	s := m.c.names.CommandVerb(subject.List)
	if id.Device != "" {
		s = m.c.names.Command(subject.List, id)
	}
	return func(yield func(Receipt, error) bool) {
		var q struct {
			After string `json:"after,omitempty"`
		}
		for {
			var page struct {
				Items []Receipt `json:"items"`
				Next  string    `json:"next"`
			}
			if err := m.c.request(ctx, call{subject: s, body: q}, &page); err != nil {
				yield(Receipt{}, err)
				return
			}
			for _, r := range page.Items {
				if !yield(r, nil) {
					return
				}
			}
			if q.After = page.Next; q.After == "" {
				return
			}
		}
	}
}

// CancelCommand takes a call back. It fails with JobNotFound when no such call
// waits, and with PreconditionFailed when it has begun.
func (m *Methods) CancelCommand(ctx context.Context, id hub.Identity, command string) error {
	return m.c.request(ctx, call{subject: m.c.names.Command(subject.Cancel, id), body: map[string]string{"id": command}}, nil)
}

// Result is what became of a call that was kept.
type Result struct {
	ID      string // of the receipt
	For     hub.Identity
	Method  string
	Outcome methods.Outcome
	Answer  methods.Answer // when Outcome is Answered
	Err     error          // a *hub.Error when it is not
}

// ParseResult reads a message on hub.events.command.… or on an order's ReplyTo.
// The same result may come more than once; its ID tells.
func ParseResult(m *nats.Msg) (Result, error) {
	r := Result{
		ID:      m.Header.Get(methods.HeaderCommandID),
		For:     hub.Identity{Device: m.Header.Get(methods.HeaderDevice), Module: m.Header.Get(methods.HeaderModule)},
		Method:  m.Header.Get(methods.HeaderMethod),
		Outcome: methods.Outcome(m.Header.Get(methods.HeaderOutcome)),
		Err:     refusal(m),
	}
	if r.ID == "" || r.Outcome == "" {
		return Result{}, hub.Errorf(hub.ArgumentInvalid, "the message on %s is not the result of a command", m.Subject)
	}
	if r.Outcome == methods.Answered {
		var ok bool
		if r.Answer, ok = methods.ParseAnswer(m.Header, m.Data); !ok {
			return Result{}, hub.Errorf(hub.ArgumentInvalid, "the result on %s has no %s", m.Subject, methods.HeaderStatus)
		}
	}
	return r, nil
}

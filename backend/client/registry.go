package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// requestTimeout is for callers whose context has no deadline.
const requestTimeout = 15 * time.Second

// Any is the etag that every identity matches.
const Any = "*"

// Registry manages the identities of a hub over NATS. Its errors are
// *hub.Error with the hub's own code; ServiceUnavailable when no hub answers.
// It is safe for concurrent use.
type Registry struct{ c *Client }

// Registry returns the registry of the hub.
func (c *Client) Registry() *Registry { return &Registry{c} }

// Get returns an identity without its keys.
func (r *Registry) Get(ctx context.Context, id hub.Identity) (identity.Record, error) {
	return r.record(ctx, subject.Get, id, "", nil)
}

// GetWithKeys returns an identity with its symmetric keys. It takes the right to
// ask on hub.registry.keys.>, which credentials for back-end apps do not have.
func (r *Registry) GetWithKeys(ctx context.Context, id hub.Identity) (identity.Record, error) {
	return r.record(ctx, subject.Keys, id, "", nil)
}

// Create makes a new identity, keys included when record has none, and returns
// it with its keys.
func (r *Registry) Create(ctx context.Context, record identity.Record) (identity.Record, error) {
	return r.record(ctx, subject.Put, record.ID, "", record)
}

// Update replaces an identity; ifMatch is its etag, or [Any]. When record has
// no keys, new ones are made: begin with [Registry.GetWithKeys] to keep them.
func (r *Registry) Update(ctx context.Context, record identity.Record, ifMatch string) (identity.Record, error) {
	if ifMatch == "" {
		return identity.Record{}, hub.Errorf(hub.PreconditionFailed, "give the etag of %s, or *", record.ID)
	}
	return r.record(ctx, subject.Put, record.ID, ifMatch, record)
}

// SetStatus enables or disables a device and returns it with its keys.
func (r *Registry) SetStatus(ctx context.Context, device string, status identity.Status, reason string) (identity.Record, error) {
	return r.change(ctx, hub.Identity{Device: device}, func(record *identity.Record) {
		record.Status, record.StatusReason = status, reason
	})
}

// NewKeys makes the symmetric keys anew and returns the identity with them.
func (r *Registry) NewKeys(ctx context.Context, id hub.Identity) (identity.Record, error) {
	return r.change(ctx, id, func(record *identity.Record) {
		record.Authentication.SymmetricKey = identity.SymmetricKey{}
	})
}

// change applies f to the identity as it is, again if somebody else changes it
// at the same time.
func (r *Registry) change(ctx context.Context, id hub.Identity, f func(*identity.Record)) (identity.Record, error) {
	const attempts = 5
	for try := 1; ; try++ {
		record, err := r.GetWithKeys(ctx, id)
		if err != nil {
			return identity.Record{}, err
		}
		f(&record)
		record, err = r.Update(ctx, record, record.ETag)
		if hub.CodeOf(err) != hub.PreconditionFailed || try == attempts {
			return record, err
		}
	}
}

// Delete removes an identity, and with a device its modules; ifMatch is its
// etag, or [Any].
func (r *Registry) Delete(ctx context.Context, id hub.Identity, ifMatch string) error {
	return r.c.request(ctx, call{subject: r.c.names.Registry(subject.Delete, id), ifMatch: ifMatch}, nil)
}

// List returns a page of devices, or of the modules of q.Device, by ascending
// id and without keys. next goes into q.After for the following page; it is
// empty at the end.
func (r *Registry) List(ctx context.Context, q identity.Query) (records []identity.Record, next string, err error) {
	s := r.c.names.RegistryVerb(subject.List)
	if q.Device != "" {
		s = r.c.names.Registry(subject.List, hub.Identity{Device: q.Device})
	}
	var page struct {
		Items []identity.Record `json:"items"`
		Next  string            `json:"next"`
	}
	body := struct {
		After string `json:"after,omitempty"`
		Top   int    `json:"top,omitempty"`
	}{q.After, q.Limit}
	err = r.c.request(ctx, call{subject: s, body: body}, &page)
	return page.Items, page.Next, err
}

// All goes through all devices, or all modules of q.Device, page by page. An
// error ends it.
func (r *Registry) All(ctx context.Context, q identity.Query) iter.Seq2[identity.Record, error] {
	return func(yield func(identity.Record, error) bool) {
		for {
			records, next, err := r.List(ctx, q)
			if err != nil {
				yield(identity.Record{}, err)
				return
			}
			for _, record := range records {
				if !yield(record, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			q.After = next
		}
	}
}

func (r *Registry) record(ctx context.Context, v subject.Verb, id hub.Identity, ifMatch string, body any) (identity.Record, error) {
	if !hub.ValidID(id.Device) || id.IsModule() && !hub.ValidID(id.Module) {
		return identity.Record{}, hub.Errorf(hub.ArgumentInvalid, "%q is not the id of a device or module", id)
	}
	var got identity.Record
	err := r.c.request(ctx, call{subject: r.c.names.Registry(v, id), ifMatch: ifMatch, body: body}, &got)
	return got, err
}

// call is one request to a service of the hub.
type call struct {
	subject string
	ifMatch string
	body    any // nil: empty
}

// request sends a call and decodes the answer into reply, unless that is nil.
func (c *Client) request(ctx context.Context, r call, reply any) error {
	m := nats.NewMsg(r.subject)
	if r.ifMatch != "" {
		m.Header.Set("If-Match", r.ifMatch)
	}
	if r.body != nil {
		var err error
		if m.Data, err = json.Marshal(r.body); err != nil {
			return hub.Errorf(hub.ArgumentInvalid, "write the request to %s: %w", r.subject, err)
		}
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	answer, err := c.ask(ctx, m)
	if err != nil {
		return err
	}
	if reply == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Data, reply); err != nil {
		return hub.Errorf(hub.ServerError, "the answer to %s is not what was expected: %w", r.subject, err)
	}
	return nil
}

// ask sends a request and returns the answer, or the error in it.
func (c *Client) ask(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	ctx, done := c.denied.watch(ctx, m.Subject)
	defer done()
	answer, err := c.nc.RequestMsgWithContext(ctx, m)
	if denied := context.Cause(ctx); err != nil && hub.CodeOf(denied) == hub.Unauthorized {
		return nil, denied
	}
	if err != nil {
		return nil, unanswered(m.Subject, err)
	}
	if err := refusal(answer); err != nil {
		return nil, err
	}
	return answer, nil
}

func unanswered(to string, err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return hub.Errorf(hub.ServiceUnavailable, "no hub answers on %s: is hubgate running with this NATS, account and prefix? %w", to, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return hub.Errorf(hub.GatewayTimeout, "no answer on %s in time: %w", to, err)
	case errors.Is(err, context.Canceled):
		return err
	default:
		return hub.Errorf(hub.ServiceUnavailable, "ask on %s: %w", to, err)
	}
}

// refusal is the error in an answer, nil when there is none.
func refusal(m *nats.Msg) error {
	text := m.Header.Get(micro.ErrorCodeHeader)
	if text == "" {
		return nil
	}
	code, err := strconv.Atoi(text)
	if err != nil || code < 100000 {
		code = int(hub.ServerError)
	}
	return &hub.Error{Code: hub.Code(code), Message: m.Header.Get(micro.ErrorHeader)}
}

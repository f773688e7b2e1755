package client

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// Policy returns the shared access policy of that name with its keys, or fails
// with NotFound. There is no service for policies: the account must be allowed to read the bucket.
func (c *Client) Policy(ctx context.Context, name string) (sas.Policy, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ctx, done := c.denied.watch(ctx, c.api("STREAM.INFO.KV_"+c.names.PolicyBucket()))
	defer done()
	kv, err := c.js.KeyValue(ctx, c.names.PolicyBucket())
	if denied := context.Cause(ctx); err != nil && hub.CodeOf(denied) == hub.Unauthorized {
		return sas.Policy{}, denied
	}
	if err != nil {
		return sas.Policy{}, hub.Errorf(hub.ServiceUnavailable, "open bucket %s: %w", c.names.PolicyBucket(), err)
	}
	e, err := kv.Get(ctx, subject.EncodeToken(name))
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return sas.Policy{}, hub.Errorf(hub.NotFound, "the hub has no shared access policy %q", name)
	}
	if err != nil {
		return sas.Policy{}, hub.Errorf(hub.ServiceUnavailable, "read policy %s: %w", name, err)
	}
	var p sas.Policy
	if err := json.Unmarshal(e.Value(), &p); err != nil {
		return sas.Policy{}, hub.Errorf(hub.ServerError, "the policy %s is damaged: %w", name, err)
	}
	return p, nil
}

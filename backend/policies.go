package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// PolicyStore keeps the shared access policies in the bucket hub_policies and
// a copy of them in memory, which a watch keeps current. It is safe for
// concurrent use.
type PolicyStore struct{ mirror mirror[sas.Policy] }

// openPolicies loads the policies; a new hub gets the default ones.
func openPolicies(ctx context.Context, b *bucket, log zerolog.Logger) (*PolicyStore, error) {
	p := &PolicyStore{mirror[sas.Policy]{
		bucket: b, log: log, one: "a shared access policy", many: "the shared access policies",
		decode: policyOf, changed: make(chan struct{}, 1),
	}}
	if err := p.makeDefaults(ctx); err != nil {
		return nil, fmt.Errorf("make the shared access policies: %w", err)
	}
	all, err := p.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the shared access policies: %w", err)
	}
	p.mirror.current.Store(&all)
	return p, nil
}

// isFresh reports whether the bucket has never been written as often as it has
// default policies: it is new, or a crash has cut off their making. What an
// operator has removed later stays removed.
func (p *PolicyStore) isFresh(ctx context.Context) (bool, error) {
	last, err := p.mirror.bucket.lastRevision(ctx)
	return last < uint64(len(sas.DefaultPolicies())), err
}

// makeDefaults creates the policies that every hub begins with, if this one is
// fresh. Of several nodes that start at once, the first to create a policy
// decides its keys.
func (p *PolicyStore) makeDefaults(ctx context.Context) error {
	fresh, err := p.isFresh(ctx)
	if err != nil || !fresh {
		return err
	}
	for _, policy := range sas.DefaultPolicies() {
		value, err := json.Marshal(policy)
		if err != nil {
			return fmt.Errorf("write policy %s as JSON: %w", policy.Name, err)
		}
		_, err = p.mirror.bucket.create(ctx, subject.EncodeToken(policy.Name), value)
		if err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
	}
	return nil
}

func (p *PolicyStore) load(ctx context.Context) (map[string]sas.Policy, error) {
	keys, err := p.mirror.bucket.kv.ListKeys(ctx)
	if err != nil {
		return nil, p.mirror.bucket.fault("list", "keys", err)
	}
	all := map[string]sas.Policy{}
	for key := range keys.Keys() {
		e, err := p.mirror.bucket.get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.mirror.apply(all, e)
	}
	return all, nil
}

// policyOf reads a policy. One that breaks a rule opens no door.
func policyOf(e jetstream.KeyValueEntry) (sas.Policy, error) {
	var policy sas.Policy
	err := json.Unmarshal(e.Value(), &policy)
	if err == nil {
		err = policy.Validate()
	}
	if err == nil && subject.EncodeToken(policy.Name) != e.Key() {
		err = hub.Errorf(hub.ArgumentInvalid, "its key is not its name")
	}
	return policy, err
}

// follow keeps the copy current until ctx ends.
func (p *PolicyStore) follow(ctx context.Context) { p.mirror.follow(ctx) }

// Changed has something to receive when the policies have changed since it was
// last received from.
func (p *PolicyStore) Changed() <-chan struct{} { return p.mirror.changed }

// Lookup returns the policy of that name as it is now; a change shows within
// a moment.
func (p *PolicyStore) Lookup(name string) (sas.Policy, bool) {
	policy, ok := (*p.mirror.current.Load())[name]
	return policy, ok
}

// All returns the policies ordered by name.
func (p *PolicyStore) All() []sas.Policy { return byName(*p.mirror.current.Load()) }

// Put stores a policy, replacing one of the same name.
func (p *PolicyStore) Put(ctx context.Context, policy sas.Policy) error {
	if err := policy.Validate(); err != nil {
		return err
	}
	value, err := json.Marshal(policy)
	if err != nil {
		return hub.Errorf(hub.ServerError, "write policy %s as JSON: %w", policy.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err = p.mirror.bucket.kv.Put(ctx, subject.EncodeToken(policy.Name), value)
	return p.mirror.bucket.fault("write", policy.Name, err)
}

package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// PolicyStore keeps the shared access policies in the bucket hub_policies and
// a copy of them in memory, which a watch keeps current. It is safe for
// concurrent use.
type PolicyStore struct {
	bucket  *bucket
	log     zerolog.Logger
	current atomic.Pointer[map[string]sas.Policy] // never changed, only replaced
	changed chan struct{}                         // has room for one
}

// openPolicies loads the policies; a new hub gets the default ones.
func openPolicies(ctx context.Context, b *bucket, log zerolog.Logger) (*PolicyStore, error) {
	p := &PolicyStore{bucket: b, log: log, changed: make(chan struct{}, 1)}
	if err := p.makeDefaults(ctx); err != nil {
		return nil, fmt.Errorf("make the shared access policies: %w", err)
	}
	all, err := p.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the shared access policies: %w", err)
	}
	p.current.Store(&all)
	return p, nil
}

// isFresh reports whether the bucket has never been written as often as it has
// default policies: it is new, or a crash has cut off their making. What an
// operator has removed later stays removed.
func (p *PolicyStore) isFresh(ctx context.Context) (bool, error) {
	last, err := p.bucket.lastRevision(ctx)
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
		_, err = p.bucket.create(ctx, subject.EncodeToken(policy.Name), value)
		if err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
	}
	return nil
}

func (p *PolicyStore) load(ctx context.Context) (map[string]sas.Policy, error) {
	keys, err := p.bucket.kv.ListKeys(ctx)
	if err != nil {
		return nil, p.bucket.fault("list", "keys", err)
	}
	all := map[string]sas.Policy{}
	for key := range keys.Keys() {
		e, err := p.bucket.get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if policy, ok := p.decode(e); ok {
			all[policy.Name] = policy
		}
	}
	return all, nil
}

// decode reads a policy. One that breaks a rule opens no door: it is left out.
func (p *PolicyStore) decode(e jetstream.KeyValueEntry) (sas.Policy, bool) {
	var policy sas.Policy
	err := json.Unmarshal(e.Value(), &policy)
	if err == nil {
		err = policy.Validate()
	}
	if err == nil && subject.EncodeToken(policy.Name) != e.Key() {
		err = hub.Errorf(hub.ArgumentInvalid, "its key is not its name")
	}
	if err != nil {
		p.log.Warn().Err(err).Str("key", e.Key()).Msg("a shared access policy is left out")
	}
	return policy, err == nil
}

// follow keeps the copy current until ctx ends.
func (p *PolicyStore) follow(ctx context.Context) {
	for n := 1; ctx.Err() == nil; n++ {
		err := p.watch(ctx)
		if err == nil {
			n = 0
			continue
		}
		p.log.Warn().Err(err).Msg("watching the shared access policies is interrupted")
		wait(ctx, backoff(n))
	}
}

// watch loads all policies and follows their changes, until ctx ends or NATS
// has been away.
func (p *PolicyStore) watch(ctx context.Context) error {
	fresh := map[string]sas.Policy{} // until the watch has told all that is there
	_, err := p.bucket.follow(ctx, 0, func(e jetstream.KeyValueEntry) {
		switch {
		case e == nil:
			all := fresh
			p.publish(all)
			fresh = nil
		case fresh == nil:
			next := maps.Clone(*p.current.Load())
			p.apply(next, e)
			p.publish(next)
		default:
			p.apply(fresh, e)
		}
	})
	return err
}

// publish makes all the current policies, and says so.
func (p *PolicyStore) publish(all map[string]sas.Policy) {
	p.current.Store(&all)
	select {
	case p.changed <- struct{}{}:
	default: // it is known already that there is something to see
	}
}

// Changed has something to receive when the policies have changed since it was
// last received from.
func (p *PolicyStore) Changed() <-chan struct{} { return p.changed }

func (p *PolicyStore) apply(all map[string]sas.Policy, e jetstream.KeyValueEntry) {
	name, err := subject.DecodeToken(e.Key())
	if err != nil {
		return
	}
	delete(all, name)
	if e.Operation() != jetstream.KeyValuePut {
		return
	}
	if policy, ok := p.decode(e); ok {
		all[name] = policy
	}
}

// Lookup returns the policy of that name as it is now; a change shows within
// a moment.
func (p *PolicyStore) Lookup(name string) (sas.Policy, bool) {
	policy, ok := (*p.current.Load())[name]
	return policy, ok
}

// All returns the policies ordered by name.
func (p *PolicyStore) All() []sas.Policy {
	return slices.SortedFunc(maps.Values(*p.current.Load()), func(a, b sas.Policy) int {
		return strings.Compare(a.Name, b.Name)
	})
}

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
	_, err = p.bucket.kv.Put(ctx, subject.EncodeToken(policy.Name), value)
	return p.bucket.fault("write", policy.Name, err)
}

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
}

// openPolicies loads the policies; a new hub gets the default ones.
func openPolicies(ctx context.Context, b *bucket, log zerolog.Logger) (*PolicyStore, error) {
	p := &PolicyStore{bucket: b, log: log}
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

// makeDefaults creates the policies that every hub begins with, unless the
// bucket has seen as many writes: then they have been made, and what is
// missing was deleted. Of several nodes that start at once, the first to
// create a policy decides its keys.
func (p *PolicyStore) makeDefaults(ctx context.Context) error {
	defaults := sas.DefaultPolicies()
	s, err := p.bucket.js.Stream(ctx, "KV_"+p.bucket.name)
	if err != nil {
		return p.bucket.fault("look at", "all keys", err)
	}
	if s.CachedInfo().State.LastSeq >= uint64(len(defaults)) {
		return nil
	}
	for _, policy := range defaults {
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
		if ctx.Err() != nil {
			return
		}
		p.log.Warn().Err(err).Msg("watching the shared access policies was interrupted")
		wait(ctx, backoff(n))
	}
}

func (p *PolicyStore) watch(ctx context.Context) error {
	w, err := p.bucket.kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	fresh := map[string]sas.Policy{} // until the watch has told all that is there
	for e := range w.Updates() {
		if e == nil {
			all := fresh
			p.current.Store(&all)
			fresh = nil
			continue
		}
		if fresh == nil {
			next := maps.Clone(*p.current.Load())
			p.apply(next, e)
			p.current.Store(&next)
			continue
		}
		p.apply(fresh, e)
	}
	return errors.New("the watch has ended")
}

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

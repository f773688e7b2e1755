package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/reload"
	"github.com/hubgate/hubgate/gateway/iothub"
	"github.com/hubgate/hubgate/sas"
)

// policies are the shared access policies of a node: those of its configuration
// and, for names that it does not have, those that the hub keeps. It is safe for
// concurrent use.
type policies struct {
	own atomic.Pointer[map[string]sas.Policy] // never changed, only replaced
	hub iothub.Policies
}

// newPolicies returns the policies of a configuration before those that the hub
// keeps.
func newPolicies(own []sas.Policy, kept iothub.Policies) *policies {
	p := &policies{hub: kept}
	p.replace(own)
	return p
}

// Lookup implements iothub.Policies.
func (p *policies) Lookup(name string) (sas.Policy, bool) {
	if policy, ok := (*p.own.Load())[name]; ok {
		return policy, true
	}
	return p.hub.Lookup(name)
}

// replace makes list the policies of the configuration, and says what has
// changed.
func (p *policies) replace(list []sas.Policy) []string {
	next := make(map[string]sas.Policy, len(list))
	for _, policy := range list {
		next[policy.Name] = policy
	}
	before := p.own.Swap(&next)
	if before == nil {
		return nil
	}
	var changes []string
	for _, name := range slices.Sorted(maps.Keys(next)) {
		old, known := (*before)[name]
		switch {
		case !known:
			changes = append(changes, name+" was added")
		case old != next[name]:
			changes = append(changes, name+" was changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(*before)) {
		if _, stays := next[name]; stays {
			continue
		}
		text := name + " was removed"
		if _, kept := p.hub.Lookup(name); kept {
			text = fmt.Sprintf("%s was removed, and the one that the hub keeps counts again", name)
		}
		changes = append(changes, text)
	}
	return changes
}

// part reloads the policies; changed is called when there is something to see.
func (p *policies) part(getenv func(string) string, changed func()) reload.Part {
	return reload.Part{
		Name: "policies", Keys: []string{"policies"},
		Files: (*config.Config).PolicyFiles,
		Apply: func(_ context.Context, cfg *config.Config) (reload.Change, error) {
			own, err := cfg.Resolve(getenv)
			if err != nil {
				return reload.Change{}, err
			}
			changes := p.replace(own)
			if len(changes) > 0 {
				changed()
			}
			return reload.Change{Applied: changes}, nil
		},
	}
}

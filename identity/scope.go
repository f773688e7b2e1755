package identity

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// A scope names an edge device: ms-azure-iot-edge://{device}-{generation}. It
// stays with the device, also when that moves here from another hub.
const scopePrefix = "ms-azure-iot-edge://"

// maxNesting is how many edge devices may be above each other.
const maxNesting = 10

func newScope(r Record) string { return scopePrefix + r.ID.Device + "-" + r.GenerationID }

// scopeOwner is the edge device that a scope names.
func scopeOwner(scope string) (hub.Identity, bool) {
	rest, ok := strings.CutPrefix(scope, scopePrefix)
	i := strings.LastIndexByte(rest, '-')
	if !ok || i < 1 || i == len(rest)-1 {
		return hub.Identity{}, false
	}
	return hub.Identity{Device: rest[:i]}, hub.ValidID(rest[:i])
}

// completeScope decides to what edge device r belongs, and which scope an edge
// device has. old is what r was before, zero when it is new.
func (s *Registry) completeScope(ctx context.Context, r *Record, old Record) error {
	if r.ParentScopes == nil { // older clients don't know of it
		r.ParentScopes = old.ParentScopes
	}
	r.ParentScopes = slices.DeleteFunc(slices.Clone(r.ParentScopes), func(s string) bool { return s == "" })
	switch {
	case r.ID.IsModule():
		return nil
	case len(r.ParentScopes) > 1:
		return hub.Errorf(hub.InvalidScope, "the device %s can't have more than one parent", r.ID)
	case r.Edge:
		return s.completeEdge(ctx, r, old)
	default:
		return s.completeLeaf(ctx, r, old)
	}
}

// completeEdge gives an edge device its scope, which never changes.
func (s *Registry) completeEdge(ctx context.Context, r *Record, old Record) error {
	switch owner, ok := scopeOwner(r.Scope); {
	case old.Edge && old.Scope != "" && r.Scope != old.Scope:
		return hub.Errorf(hub.InvalidScope, "Device scope is immutable: send the edge device %s with its deviceScope %s; its parent is in parentScopes", r.ID, old.Scope)
	case r.Scope == "" || !old.Edge && r.Scope == old.Scope: // a leaf has its parent's
		r.Scope = newScope(*r)
	case !ok || owner != r.ID:
		return hub.Errorf(hub.InvalidScope, "the deviceScope of an edge device is its own: leave it out, and name the parent of %s in parentScopes", r.ID)
	}
	if slices.Equal(r.ParentScopes, old.ParentScopes) {
		return nil
	}
	return s.checkAncestors(ctx, r)
}

// completeLeaf has the scope of the parent in both fields. Clients change the
// one or the other, and send back what they got in the rest.
func (s *Registry) completeLeaf(ctx context.Context, r *Record, old Record) error {
	if old.Edge && r.Scope == old.Scope {
		r.Scope = "" // it was its own
	}
	scope, before := r.Scope, old.Scope
	parent, parentBefore := first(r.ParentScopes), first(old.ParentScopes)
	switch {
	case scope == parent || parent == parentBefore:
	case scope == before || scope == "":
		scope = parent
	default:
		return hub.Errorf(hub.InvalidScope, "deviceScope and parentScopes of %s name different parents", r.ID)
	}
	r.Scope, r.ParentScopes = scope, nil
	if scope == "" {
		return nil
	}
	r.ParentScopes = []string{scope}
	if scope == before {
		return nil // the parent may be gone meanwhile
	}
	_, err := s.edgeOf(ctx, scope)
	return err
}

// checkAncestors refuses a parent that is no edge device, or below r itself.
func (s *Registry) checkAncestors(ctx context.Context, r *Record) error {
	scope := first(r.ParentScopes)
	for n := 0; scope != ""; n++ {
		if scope == r.Scope || n == maxNesting {
			return hub.Errorf(hub.InvalidScope, "the edge device %s can't be below itself, nor below more than %d others", r.ID, maxNesting)
		}
		parent, err := s.edgeOf(ctx, scope)
		if err != nil && n > 0 && errors.Is(err, &hub.Error{Code: hub.InvalidScope}) {
			return nil // a parent of the parent is gone
		}
		if err != nil {
			return err
		}
		scope = first(parent.ParentScopes)
	}
	return nil
}

// edgeOf returns the edge device that has a scope.
func (s *Registry) edgeOf(ctx context.Context, scope string) (Record, error) {
	unknown := hub.Errorf(hub.InvalidScope, "there is no edge device whose scope is %q", clip(scope))
	owner, ok := scopeOwner(scope)
	if !ok {
		return Record{}, unknown
	}
	r, err := s.Store.Get(ctx, owner)
	if errors.Is(err, &hub.Error{Code: hub.DeviceNotFound}) || err == nil && (!r.Edge || r.Scope != scope) {
		return Record{}, unknown
	}
	return r, err
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

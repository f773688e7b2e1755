package iothub

import (
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

// Changed applies a change of an identity to its live connections: what would
// not be let in now is cut. Disabling or deleting a device cuts its modules
// too. s must be the server of this face.
func (f *Face) Changed(s *gateway.Server, change identity.Change) {
	f.changes.Add(1)
	s.Check(change.ID.Device, func(id hub.Identity, h gateway.Handler) error {
		own, ok := h.(*handler)
		if !ok || own.face != f {
			return nil
		}
		return own.recheck(id, change)
	})
}

// recheck says why the connection of id may not go on after change.
func (h *handler) recheck(id hub.Identity, change identity.Change) error {
	if change.ID != id && change.ID.IsModule() {
		return nil // another module, or a module of this device
	}
	r := change.Record
	switch {
	case r == nil && change.ID.IsModule():
		return hub.Errorf(hub.ModuleNotFound, "the module %s was deleted", id)
	case r == nil:
		return hub.Errorf(hub.DeviceNotFound, "the device %s was deleted", change.ID)
	case !change.ID.IsModule() && r.Status != identity.StatusEnabled:
		return disabled(*r)
	case change.ID != id:
		return nil // the device of this module has changed in a way that lets it be
	case r.GenerationID != h.generation:
		return hub.Errorf(hub.DeviceNotFound, "%s was deleted and created again", id)
	}
	return h.recheckProof(r)
}

// recheckProof cuts a connection whose key, or certificate, is no longer the
// identity's.
func (h *handler) recheckProof(r *identity.Record) error {
	if h.shown != nil {
		return h.recheckCertificate(r)
	}
	if r.Authentication.Type != identity.AuthSAS {
		return hub.Errorf(hub.Unauthorized, "%s no longer authenticates by SAS token", r.ID)
	}
	if h.policy != "" {
		return nil
	}
	keys, err := r.Keys()
	if err != nil {
		return err
	}
	for _, key := range keys {
		if proofOf(key) == h.proof {
			return nil
		}
	}
	return hub.Errorf(hub.Unauthorized, "the key that %s connected with was replaced", r.ID)
}

// PoliciesChanged cuts the connections that a policy let in which would not
// let them in now. s must be the server of this face.
func (f *Face) PoliciesChanged(s *gateway.Server) {
	f.changes.Add(1)
	s.CheckAll(func(_ hub.Identity, h gateway.Handler) error {
		own, ok := h.(*handler)
		if !ok || own.face != f || own.policy == "" {
			return nil
		}
		return own.recheckPolicy()
	})
}

func (h *handler) recheckPolicy() error {
	policy, ok := h.face.Policies.Lookup(h.policy)
	if !ok || !policy.Permissions.Has(sas.DeviceConnect) {
		return hub.Errorf(hub.Unauthorized, "the policy %q no longer lets devices connect", h.policy)
	}
	for _, text := range []string{policy.PrimaryKey, policy.SecondaryKey} {
		if key, err := sas.DecodeKey(text); err == nil && proofOf(key) == h.proof {
			return nil
		}
	}
	return hub.Errorf(hub.Unauthorized, "the key of the policy %q was replaced", h.policy)
}

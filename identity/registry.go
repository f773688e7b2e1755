package identity

import (
	"context"
	"errors"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// MaxModules is how many modules a device may have. Creations at the same
// moment are not counted against each other.
const MaxModules = 50

// Registry is the rules by which identities come, change and go. Set its
// fields before use. Methods may be called from any goroutine; their errors
// are *hub.Error, and none holds a key.
type Registry struct {
	Store  Store
	Events Lifecycle        // nil: nobody is told
	Now    func() time.Time // nil: time.Now

	generations generations
}

// Lifecycle is told of identities that come and go, whoever has them made or
// deleted: of an edge device's own modules and of those that go with their
// device too. It does not block.
type Lifecycle interface {
	Created(r Record)
	Deleted(r Record)
}

// Create stores a new identity. Of r it takes the id, the status, the
// authentication and the device's or module's own fields, and decides the
// rest; an edge device gets a scope, and its modules $edgeAgent and $edgeHub. Without an authentication type it is sas, and so it is for a module
// with type none; sas without keys gets new ones.
//
// It fails with DeviceAlreadyExists or ModuleAlreadyExists, whatever etag r
// has; with DeviceNotFound and TooManyModules for a module; with InvalidScope
// for a device whose parent is no edge device; and with ArgumentInvalid when r
// breaks another rule.
func (s *Registry) Create(ctx context.Context, r Record) (Record, error) {
	if err := checkNewID(r.ID); err != nil {
		return Record{}, err
	}
	if err := complete(&r); err != nil {
		return Record{}, err
	}
	var parent Record
	if r.ID.IsModule() {
		var err error
		if parent, err = s.parent(ctx, r.ID); err != nil {
			return Record{}, err
		}
	}
	s.stamp(&r)
	if err := s.completeScope(ctx, &r, Record{}); err != nil {
		return Record{}, err
	}
	if err := s.add(ctx, &r, parent); err != nil {
		return Record{}, err
	}
	if r.Edge {
		if err := s.addEdgeModules(ctx, r); err != nil {
			return Record{}, err
		}
	}
	return r, nil
}

// stamp decides what is the registry's of a new record.
func (s *Registry) stamp(r *Record) {
	r.GenerationID, r.ETag = s.generations.next(s.now()), firstETag()
	r.CreatedTime, r.StatusUpdatedTime, r.Revision = timeOf(r.GenerationID), time.Time{}, 0
}

// add stores a new record; parent is the device of a module.
func (s *Registry) add(ctx context.Context, r *Record, parent Record) (err error) {
	if r.Revision, err = s.Store.Create(ctx, *r); err != nil {
		return err
	}
	if r.ID.IsModule() {
		if err := s.keepParent(ctx, *r, parent); err != nil {
			return err
		}
	}
	if s.Events != nil {
		s.Events.Created(*r)
	}
	return nil
}

// parent returns the device of a module that is about to be made.
func (s *Registry) parent(ctx context.Context, id hub.Identity) (Record, error) {
	device, err := s.Store.Get(ctx, hub.Identity{Device: id.Device})
	if err != nil {
		return Record{}, err
	}
	modules, err := s.Store.List(ctx, Query{Device: id.Device, Limit: MaxModules})
	if err != nil {
		return Record{}, err
	}
	if len(modules) < MaxModules {
		return device, nil
	}
	if _, err := s.Store.Get(ctx, id); err == nil {
		return Record{}, AlreadyExists(id)
	}
	return Record{}, hub.Errorf(hub.TooManyModules, "the device %s has %d modules, which is the most", id.Device, MaxModules)
}

// keepParent takes back the new module r when its device was deleted while it
// was made: that deletion may not have seen r.
func (s *Registry) keepParent(ctx context.Context, r, parent Record) error {
	device, err := s.Store.Get(ctx, parent.ID)
	if err == nil && device.GenerationID == parent.GenerationID {
		return nil
	}
	if err != nil && !errors.Is(err, &hub.Error{Code: hub.DeviceNotFound}) {
		return err
	}
	if err := s.Store.Delete(ctx, r); err != nil && !isGone(err) {
		return err
	}
	return NotFound(parent.ID)
}

// Get returns an identity. It fails with DeviceNotFound or ModuleNotFound.
func (s *Registry) Get(ctx context.Context, id hub.Identity) (Record, error) {
	if err := checkID(id); err != nil {
		return Record{}, err
	}
	return s.Store.Get(ctx, id)
}

// List returns identities in ascending byte order of their ids; a limit
// outside 1 to 1000 means 1000. It fails with DeviceNotFound for the modules
// of a device that does not exist.
func (s *Registry) List(ctx context.Context, q Query) ([]Record, error) {
	if q.Limit < 1 || q.Limit > MaxList {
		q.Limit = MaxList
	}
	if q.Device != "" {
		if _, err := s.Get(ctx, hub.Identity{Device: q.Device}); err != nil {
			return nil, err
		}
	}
	return s.Store.List(ctx, q)
}

func (s *Registry) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

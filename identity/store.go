package identity

import (
	"context"

	"github.com/hubgate/hubgate/hub"
)

// Store keeps records. All errors are *hub.Error: DeviceNotFound and
// ModuleNotFound, DeviceAlreadyExists and ModuleAlreadyExists,
// PreconditionFailed when the revision is no longer current, and
// ServiceUnavailable when the store does not answer.
type Store interface {
	Get(ctx context.Context, id hub.Identity) (Record, error)
	// Create stores a new record and returns its revision.
	Create(ctx context.Context, r Record) (uint64, error)
	// Update replaces the record of r.Revision and returns the new revision.
	Update(ctx context.Context, r Record) (uint64, error)
	// Delete removes the record of r.Revision.
	Delete(ctx context.Context, r Record) error
	// List returns records by ascending id.
	List(ctx context.Context, q Query) ([]Record, error)
}

// MaxList is the most records that one List returns.
const MaxList = 1000

// Query selects records for a list.
type Query struct {
	Device string // set: the modules of this device; empty: devices
	After  string // the id after which the list begins
	Limit  int    // 1 to MaxList; 0 means MaxList
}

// Watcher is a store that tells of changes.
type Watcher interface {
	// Watch calls changed for the changes made from now on, by whomever, in
	// the order per identity, until ctx ends.
	Watch(ctx context.Context, changed func(Change)) error
}

// Change is a change of one identity.
type Change struct {
	ID     hub.Identity
	Record *Record // nil: deleted
}

// NotFound is the error for a missing identity.
func NotFound(id hub.Identity) error {
	if id.IsModule() {
		return hub.Errorf(hub.ModuleNotFound, "the module %s does not exist", id)
	}
	return hub.Errorf(hub.DeviceNotFound, "the device %s does not exist", id)
}

// AlreadyExists is the error for an identity that is there already.
func AlreadyExists(id hub.Identity) error {
	if id.IsModule() {
		return hub.Errorf(hub.ModuleAlreadyExists, "the module %s exists already", id)
	}
	return hub.Errorf(hub.DeviceAlreadyExists, "the device %s exists already", id)
}

package identity

import (
	"context"

	"github.com/hubgate/hubgate/hub"
)

// Store keeps records and knows no rules. All errors are *hub.Error: those of
// [NotFound] and [AlreadyExists], PreconditionFailed when the revision is no
// longer current, and ServiceUnavailable when the store does not answer. A
// write to a record that is gone fails with either of PreconditionFailed and
// NotFound. Methods may be called from any goroutine. Package backendtest has
// the tests that every store must pass.
type Store interface {
	// Get returns a record, its Revision set.
	Get(ctx context.Context, id hub.Identity) (Record, error)
	// Create stores a record whose id is free and returns its revision.
	Create(ctx context.Context, r Record) (revision uint64, err error)
	// Update replaces the record of r.Revision and returns the new revision.
	Update(ctx context.Context, r Record) (revision uint64, err error)
	// Delete removes the record of r.Revision.
	Delete(ctx context.Context, r Record) error
	// List returns records in ascending byte order of their ids.
	List(ctx context.Context, q Query) ([]Record, error)
}

// MaxList is the most records that one List returns (IoT Hub: GET /devices).
const MaxList = 1000

// Query selects records for a list.
type Query struct {
	Device string // set: the modules of this device; empty: devices
	After  string // the device or module id behind which the list begins
	Limit  int    // 1 to MaxList; 0 means MaxList
}

// Change is a change of one identity.
type Change struct {
	ID     hub.Identity
	Record *Record // nil: deleted
}

// Watcher is a [Store] that tells of changes.
type Watcher interface {
	// Watch calls changed, from one goroutine, for the changes that anybody
	// makes from now on, in their order per identity; several changes of one
	// identity may come as the last of them. It returns nil when ctx ends, and
	// an error when it can't go on.
	Watch(ctx context.Context, changed func(Change)) error
}

// NotFound is the error for an identity that is not there: DeviceNotFound or
// ModuleNotFound.
func NotFound(id hub.Identity) error {
	if id.IsModule() {
		return hub.Errorf(hub.ModuleNotFound, "the module %s does not exist", id)
	}
	return hub.Errorf(hub.DeviceNotFound, "the device %s does not exist", id)
}

// AlreadyExists is the error for an identity that is there already:
// DeviceAlreadyExists or ModuleAlreadyExists.
func AlreadyExists(id hub.Identity) error {
	if id.IsModule() {
		return hub.Errorf(hub.ModuleAlreadyExists, "the module %s exists already", id)
	}
	return hub.Errorf(hub.DeviceAlreadyExists, "the device %s exists already", id)
}

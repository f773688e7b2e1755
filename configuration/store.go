package configuration

import (
	"context"

	"github.com/hubgate/hubgate/hub"
)

// Store keeps configurations and knows no rules. All errors are *hub.Error:
// those of [NotFound], PreconditionFailed when the revision is no longer
// current or the id is taken, and ServiceUnavailable when the store does not
// answer.
type Store interface {
	// Get returns a configuration, its Revision set.
	Get(ctx context.Context, id string) (Configuration, error)
	// List returns all of them by ascending id.
	List(ctx context.Context) ([]Configuration, error)
	// Write stores a configuration in place of c.Revision, 0 being none, and
	// returns the new revision.
	Write(ctx context.Context, c Configuration) (revision uint64, err error)
	// Delete removes the configuration of c.Revision.
	Delete(ctx context.Context, c Configuration) error
}

// Watcher tells of the configurations and of their changes.
type Watcher interface {
	// Watch calls changed, from one goroutine, with all configurations: at
	// first, and when there is a change, until ctx ends. Several changes may
	// come as one.
	Watch(ctx context.Context, changed func([]Configuration))
}

// Condition is a target condition that has been understood.
type Condition interface {
	// OfModules reports whether it selects modules, and not devices.
	OfModules() bool
	// Clause is what stands behind WHERE in a query for what it selects; empty:
	// all.
	Clause() string
}

// Language reads the query language. Its errors are *hub.Error whose sentences
// name line and column.
type Language interface {
	// Condition reads what stands behind WHERE, * for all devices, or FROM
	// devices.modules WHERE ….
	Condition(text string) (Condition, error)
	// Check reads a whole query.
	Check(query string) error
}

// Fleet is the documents of devices and modules, as this node has them.
type Fleet interface {
	// Get returns the document of an identity as the service API prints its
	// twin, and false when there is none.
	Get(id hub.Identity) (document []byte, ok bool)
	// Matches reports whether a condition selects a document.
	Matches(c Condition, id hub.Identity) bool
	// Each visits everything that a condition selects, until visit returns
	// false.
	Each(ctx context.Context, c Condition, visit func(hub.Identity) bool) error
	// Changes calls begun, and tells of everything whose document has changed
	// since, until ctx ends.
	Changes(ctx context.Context, begun func(), told func(hub.Identity)) error
}

// Counter counts the rows of queries.
type Counter interface {
	Count(ctx context.Context, query string) (int, error)
}

// Board shows what applies to a device or module: in its twin, and for queries.
type Board interface {
	// Show replaces what was shown, on this node.
	Show(id hub.Identity, all []Status)
}

// Twins is the operation on twins that back ends use.
type Twins interface {
	// Check says what is wrong with the body of an update, whatever twin it is
	// for.
	Check(body []byte) error
	// Update merges w into the desired properties of a twin.
	Update(ctx context.Context, id hub.Identity, w Write) error
	// Replace writes the desired properties of a twin; tags stay.
	Replace(ctx context.Context, id hub.Identity, w Write) error
	// Create makes a module that the edge runtime manages. It fails with
	// ModuleAlreadyExists when it is there.
	Create(ctx context.Context, module hub.Identity) error
}

// Write is what is written to a twin: {"properties":{"desired":{…}}}.
type Write struct {
	Body    []byte
	IfMatch string // the etag that the twin must still have; empty: any
	By      string
	Origins []Origin
}

// Origin says for which configuration the values below a path are written. Of
// several that fit, the last one counts.
type Origin struct {
	Path   []string
	ID     string
	Digest string
}

// NotFound is the error for a configuration that is not there.
func NotFound(id string) error {
	return hub.Errorf(hub.ConfigurationNotFound, "there is no configuration %.140q", id)
}

// Status is how one configuration stands to one twin that it selects.
type Status struct {
	ID string
	// Applied says that it wins, and that the twin holds what it sets.
	Applied bool
}

// The statuses as IoT Hub prints them.
const (
	applied  = "Applied"
	targeted = "Targeted"
)

// String is the status as IoT Hub prints it.
func (s Status) String() string {
	if s.Applied {
		return applied
	}
	return targeted
}

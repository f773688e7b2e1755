package jobs

import (
	"context"

	"github.com/hubgate/hubgate/hub"
)

// Store keeps jobs. Its errors are *hub.Error: JobAlreadyExists, JobNotFound,
// PreconditionFailed for another revision, QuotaExceeded when it is full, and
// ServiceUnavailable, after which nobody knows whether a write was stored.
// Methods may be called from any goroutine.
type Store interface {
	// Create stores a new job and sets its Revision.
	Create(ctx context.Context, j *Job) error
	// Update replaces the job of this Revision and sets the new one.
	Update(ctx context.Context, j *Job) error
	// Remove deletes the job of this Revision.
	Remove(ctx context.Context, j Job) error
	// Get returns a job.
	Get(ctx context.Context, id string) (Job, error)
	// Watch calls w, from one goroutine: for a beginning, all jobs that there are,
	// the end of these, and then for every change; after an interruption for a
	// beginning again. It returns nil when ctx ends.
	Watch(ctx context.Context, w Watcher) error
}

// Watcher is told of the jobs in a store.
type Watcher interface {
	// Loading says that everything is told from the beginning.
	Loading()
	Stored(j Job)
	Removed(id string)
	// Loaded says that what was there at first has been told.
	Loaded()
}

// Mark is where the fence around the rows of a job stands: nobody but the store
// looks into it.
type Mark []uint64

// Rows keeps what has become of each device of a job. Rows are written by the
// one who holds the job, and by nobody else: to hold a job moves a fence, and
// what is written by who held it before is refused from then on, also what is on
// its way. Errors are those of [Store].
type Rows interface {
	// Mark reads where the fence of a job stands.
	Mark(ctx context.Context, job string) (Mark, error)
	// Hold moves the fence from there. It fails with PreconditionFailed when
	// somebody else has moved it; then the mark is read again.
	Hold(ctx context.Context, job string, m Mark) (Hold, error)
	// Page returns rows of a job in the order in which they were written last, of
	// those that were written after a revision. next is for the next page; 0: this
	// is the last one. There may be a next one without rows.
	Page(ctx context.Context, job string, after uint64) (rows []Row, next uint64, err error)
	// Scarce reports that there is little room for more rows.
	Scarce(ctx context.Context) (bool, error)
}

// Hold is the right to write the rows of one job. Its errors are
// PreconditionFailed when somebody else holds the job, QuotaExceeded and
// ServiceUnavailable; a write may be repeated. Methods may be called from any
// goroutine, with different rows.
type Hold interface {
	// Put stores a row and sets its Revision.
	Put(ctx context.Context, r *Row) error
	// Delete removes a row.
	Delete(ctx context.Context, r Row) error
	// Drop gives the right back for good, when the job has no rows any more.
	Drop(ctx context.Context) error
}

// Targets finds the devices and modules that a condition selects.
type Targets interface {
	// Each calls visit for each of them, once, until it returns false. The
	// condition is the text after WHERE, nothing or * for all devices, or a whole
	// FROM devices.modules WHERE …. A wrong one fails with ArgumentInvalid before
	// anything is visited.
	Each(ctx context.Context, condition string, visit func(hub.Identity) bool) error
}

// Actions does what a job does to one device. Its errors are *hub.Error.
type Actions interface {
	// UpdateTwin merges the tags and desired properties of patch into a twin. It
	// may be called again for the same device.
	UpdateTwin(ctx context.Context, id hub.Identity, w Write) error
	// InvokeMethod calls a method once.
	InvokeMethod(ctx context.Context, id hub.Identity, m Method) (status int, payload []byte, err error)
	// Check refuses a job whose operation can't work with any device.
	Check(j *Job) error
}

// Write is a patch of a twin, and who makes it.
type Write struct {
	Patch []byte
	By    string
}

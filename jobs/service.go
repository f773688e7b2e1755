package jobs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Limits bound what jobs do. A zero field means the default.
type Limits struct {
	// Active is how many jobs may run, or wait only for their turn; default
	// [DefaultActive]. Nodes count what they have seen: when several take jobs in
	// the same instant there may be one more, which waits.
	Active int
	// InFlight is with how many devices one job is at work; default
	// [DefaultFlight].
	InFlight int
	// Rate is with how many devices per second one job begins; 0: as fast as it can.
	Rate float64
}

// Jobs is the operations on jobs. Set its fields before use; a [Runner] lets it
// know what there is. Methods may be called from any goroutine; their errors are
// *hub.Error.
type Jobs struct {
	Store  Store
	Limits Limits
	// Check refuses an operation that can't work with any device; nil: none.
	Check func(*Job) error
	Now   func() time.Time // nil: time.Now

	once  sync.Once
	known *index
}

// Request asks for a job.
type Request struct {
	ID   string
	Body []byte // see [Parse]
	By   string // who asks; may be empty
}

// storePatience is how long a question waits for a node that has just started.
const storePatience = 5 * time.Second

// Put makes a job. It fails as [Parse] does, with JobAlreadyExists, and with
// TooManyJobs.
func (s *Jobs) Put(ctx context.Context, r Request) (Job, error) {
	j, err := Parse(r.ID, r.Body, s.now())
	if err != nil {
		return Job{}, err
	}
	j.By = r.By
	if s.Check != nil {
		if err := s.Check(&j); err != nil {
			return Job{}, err
		}
	}
	if err := s.await(ctx); err != nil {
		return Job{}, err
	}
	if s.index().has(j.ID) {
		return Job{}, hub.Errorf(hub.JobAlreadyExists, "there is a job %s already, or was one in the last 30 days", j.ID)
	}
	if err := s.room(j); err != nil {
		return Job{}, err
	}
	if err := s.Store.Create(ctx, &j); err != nil {
		return Job{}, err
	}
	s.index().Stored(j)
	return j, nil
}

// room refuses a job when there are too many.
func (s *Jobs) room(j Job) error {
	active, open := s.index().count(s.now())
	if limit := s.active(); j.Status == Queued && active >= limit {
		return hub.Errorf(hub.TooManyJobs, "%d jobs are active, and no more than %d may be: wait until one has ended, cancel one, or give a startTime", active, limit)
	}
	if open >= maxNotEnded {
		return hub.Errorf(hub.TooManyJobs, "%d jobs have not ended, and no more may wait", open)
	}
	return nil
}

// Get returns a job, or fails with JobNotFound.
func (s *Jobs) Get(ctx context.Context, id string) (Job, error) {
	if !ValidID(id) {
		return Job{}, notFound(id)
	}
	return s.Store.Get(ctx, id)
}

const casAttempts = 20

// Cancel ends a job: it begins with no more devices. What has begun goes on. It
// fails with JobNotFound, and with StateForbids when the job has ended.
func (s *Jobs) Cancel(ctx context.Context, id string) (Job, error) {
	for range casAttempts {
		j, err := s.Get(ctx, id)
		if err != nil {
			return Job{}, err
		}
		if j.Status.Ended() {
			return Job{}, hub.Errorf(hub.StateForbids, "the job %s can't be cancelled: it is %s", id, j.Status)
		}
		j.end(Cancelled, "", s.now())
		j.Settled = j.Begun.IsZero()
		err = s.Store.Update(ctx, &j)
		if err == nil {
			s.index().Stored(j)
			return j, nil
		}
		if hub.CodeOf(err) != hub.PreconditionFailed {
			return Job{}, err
		}
	}
	return Job{}, hub.Errorf(hub.Throttled, "the job %s was written by others %d times; try again", id, casAttempts)
}

// Query selects jobs for List. The zero value is the first page of all.
type Query struct {
	Type   string // of jobType, in any case; empty: all
	Status string // of jobStatus, in any case; empty: all
	After  string // where the page before has ended
	Limit  int    // 1 to 1000; 0: 100
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// List returns jobs, the oldest first, and where the next page begins; empty:
// this is the last one. It fails with ArgumentInvalid for a type or a status that
// IoT Hub does not have.
func (s *Jobs) List(ctx context.Context, q Query) (page []Job, next string, err error) {
	if err := q.check(); err != nil {
		return nil, "", err
	}
	if err := s.await(ctx); err != nil {
		return nil, "", err
	}
	found := s.index().collect(func(k known) bool {
		return q.matches(k.Job) && k.Position() > q.After
	}, byCreation)
	limit := q.Limit
	if limit < 1 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	if len(found) > limit {
		found = found[:limit]
		next = found[limit-1].Position()
	}
	page = make([]Job, 0, len(found))
	for _, k := range found {
		j, err := s.Store.Get(ctx, k.ID)
		if hub.CodeOf(err) == hub.JobNotFound {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		page = append(page, j)
	}
	return page, next, nil
}

// Position is where a page that ends with j ends; see [Query]. It orders as
// byCreation does.
func (j *Job) Position() string { return fmt.Sprintf("%019d.%s", j.Created.UnixNano(), j.ID) }

func (q Query) matches(j Job) bool {
	return (q.Type == "" || strings.EqualFold(q.Type, string(j.Type))) &&
		(q.Status == "" || strings.EqualFold(q.Status, string(j.Status)))
}

// check refuses what IoT Hub has no word for: a list that is empty for a
// spelling mistake must not look like one that is empty.
func (q Query) check() error {
	if !oneOf(q.Type, types()) {
		return hub.Errorf(hub.ArgumentInvalid, "there is no jobType %.64q: use %s or %s", q.Type, UpdateTwin, InvokeMethod)
	}
	if !oneOf(q.Status, statuses()) {
		return hub.Errorf(hub.ArgumentInvalid, "there is no jobStatus %.64q: use one of %s", q.Status, strings.Join(statuses(), ", "))
	}
	if q.After == "" {
		return nil
	}
	stamp, id, ok := strings.Cut(q.After, ".")
	if _, err := strconv.ParseInt(stamp, 10, 64); err != nil || !ok || !ValidID(id) {
		return hub.Errorf(hub.ArgumentInvalid, "the continuation is none that this hub has given")
	}
	return nil
}

func oneOf(s string, words []string) bool {
	return s == "" || slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, s) })
}

func types() []string {
	return []string{
		string(UpdateTwin), string(InvokeMethod), "unknown", "export", "import", "backup", "readDeviceProperties",
		"writeDeviceProperties", "updateDeviceConfiguration", "rebootDevice", "factoryResetDevice", "firmwareUpdate",
		"restoreFromBackup", "failoverDataCopy",
	}
}

func statuses() []string {
	return []string{
		string(Scheduled), string(Queued), string(Running), string(Completed), string(Failed), string(Cancelled), "enqueued", "unknown",
	}
}

// Counts is how many jobs of the hub are at work or could be, and how many have
// not ended, those that are scheduled included, as far as this node knows.
func (s *Jobs) Counts() (active, open int) { return s.index().count(s.now()) }

func (s *Jobs) index() *index {
	s.once.Do(func() { s.known = newIndex(s.now) })
	return s.known
}

func (s *Jobs) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	if !s.index().await(ctx) {
		return hub.Errorf(hub.ServiceUnavailable, "the jobs are not read yet; try again")
	}
	return nil
}

func (s *Jobs) active() int { return cmp.Or(max(s.Limits.Active, 0), DefaultActive) }

func (s *Jobs) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

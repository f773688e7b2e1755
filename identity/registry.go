package identity

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Registry is the rules by which identities come, change and go. Its methods
// may be called from any goroutine; their errors are *hub.Error.
type Registry struct {
	Store Store
	Now   func() time.Time // nil: time.Now

	generations generations
}

// MaxModules is how many modules a device may have.
const MaxModules = 50

// retries bounds how often a change is tried again after somebody else's.
const retries = 10

// Create stores a new identity. Of r it takes the id, status, authentication
// and the device's or module's own fields; keys that are missing are made.
func (s *Registry) Create(ctx context.Context, r Record) (Record, error) {
	if err := s.checkParent(ctx, r.ID); err != nil {
		return Record{}, err
	}
	now := s.now()
	r.GenerationID, r.ETag = s.generations.next(now), firstETag()
	r.CreatedTime, r.StatusUpdatedTime, r.Revision = now, time.Time{}, 0
	if err := complete(&r); err != nil {
		return Record{}, err
	}
	revision, err := s.Store.Create(ctx, r)
	if err != nil {
		return Record{}, err
	}
	r.Revision = revision
	return r, nil
}

// checkParent refuses bad ids, and modules without a device or beyond the
// limit.
func (s *Registry) checkParent(ctx context.Context, id hub.Identity) error {
	if err := checkID(id); err != nil || !id.IsModule() {
		return err
	}
	if _, err := s.Store.Get(ctx, hub.Identity{Device: id.Device}); err != nil {
		return err
	}
	modules, err := s.Store.List(ctx, Query{Device: id.Device})
	if err != nil {
		return err
	}
	if len(modules) >= MaxModules {
		return hub.Errorf(hub.TooManyModules, "the device %s has %d modules, the most there may be", id.Device, len(modules))
	}
	return nil
}

// Get returns an identity.
func (s *Registry) Get(ctx context.Context, id hub.Identity) (Record, error) {
	if err := checkID(id); err != nil {
		return Record{}, err
	}
	return s.Store.Get(ctx, id)
}

// Update replaces an identity: status, authentication and the device's or
// module's own fields are taken from r, keys that are missing are made anew.
// ifMatch is "*" or the etag, quoted or not, that the identity must still
// have, else PreconditionFailed.
func (s *Registry) Update(ctx context.Context, r Record, ifMatch string) (Record, error) {
	return s.change(ctx, r.ID, ifMatch, func(old *Record) error {
		old.Status, old.StatusReason = r.Status, r.StatusReason
		old.Authentication, old.Edge, old.ManagedBy = r.Authentication, r.Edge, r.ManagedBy
		return nil
	})
}

// SetStatus enables or disables a device.
func (s *Registry) SetStatus(ctx context.Context, device string, status Status, reason string) (Record, error) {
	return s.change(ctx, hub.Identity{Device: device}, "*", func(r *Record) error {
		r.Status, r.StatusReason = status, reason
		return nil
	})
}

// KeyChoice says which of an identity's keys are meant.
type KeyChoice string

// The choices.
const (
	PrimaryKey   KeyChoice = "primary"
	SecondaryKey KeyChoice = "secondary"
	BothKeys     KeyChoice = "both"
)

// RegenerateKeys makes new keys, and leaves the others as they are.
func (s *Registry) RegenerateKeys(ctx context.Context, id hub.Identity, which KeyChoice) (Record, error) {
	return s.change(ctx, id, "*", func(r *Record) error {
		keys := &r.Authentication.SymmetricKey
		switch which {
		case PrimaryKey:
			keys.PrimaryKey = newKey()
		case SecondaryKey:
			keys.SecondaryKey = newKey()
		case BothKeys:
			*keys = SymmetricKey{newKey(), newKey()}
		default:
			return hub.Errorf(hub.ArgumentInvalid, "%q names no key: use primary, secondary or both", which)
		}
		return nil
	})
}

// change applies f to the current record and stores it, again if somebody
// else was faster and ifMatch allows it.
func (s *Registry) change(ctx context.Context, id hub.Identity, ifMatch string, f func(*Record) error) (Record, error) {
	for try := 1; ; try++ {
		r, err := s.Get(ctx, id)
		if err != nil {
			return Record{}, err
		}
		if err := match(r, ifMatch); err != nil {
			return Record{}, err
		}
		status := r.Status
		if err := f(&r); err != nil {
			return Record{}, err
		}
		if err := complete(&r); err != nil {
			return Record{}, err
		}
		if r.Status != status {
			r.StatusUpdatedTime = s.now()
		}
		r.ETag = nextETag(r.ETag)
		r.Revision, err = s.Store.Update(ctx, r)
		if err == nil {
			return r, nil
		}
		if !isConflict(err) || try == retries {
			return Record{}, err
		}
	}
}

// Delete removes an identity, and with a device its modules. ifMatch is as in
// [Registry.Update].
func (s *Registry) Delete(ctx context.Context, id hub.Identity, ifMatch string) error {
	for try := 1; ; try++ {
		r, err := s.Get(ctx, id)
		if err != nil {
			return err
		}
		if err := match(r, ifMatch); err != nil {
			return err
		}
		if err := s.deleteModules(ctx, id); err != nil {
			return err
		}
		err = s.Store.Delete(ctx, r)
		if err == nil || !isConflict(err) || try == retries {
			return err
		}
	}
}

func (s *Registry) deleteModules(ctx context.Context, id hub.Identity) error {
	if id.IsModule() {
		return nil
	}
	modules, err := s.Store.List(ctx, Query{Device: id.Device})
	if err != nil {
		return err
	}
	for _, m := range modules {
		if err := s.Delete(ctx, m.ID, "*"); err != nil && hub.CodeOf(err) != hub.ModuleNotFound {
			return err
		}
	}
	return nil
}

// List returns identities by ascending id.
func (s *Registry) List(ctx context.Context, q Query) ([]Record, error) {
	if q.Limit <= 0 || q.Limit > MaxList {
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

// match checks the etag that a caller insists on.
func match(r Record, ifMatch string) error {
	etag := strings.Trim(ifMatch, `"`)
	switch etag {
	case "*", r.ETag:
		return nil
	case "":
		return hub.Errorf(hub.PreconditionFailed, "If-Match is missing: give the etag of %s, or *", r.ID)
	}
	return hub.Errorf(hub.PreconditionFailed, "%s has changed: its etag is %s, not %s", r.ID, r.ETag, etag)
}

func isConflict(err error) bool {
	return errors.Is(err, &hub.Error{Code: hub.PreconditionFailed})
}

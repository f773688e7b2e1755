package identity

import (
	"context"
	"errors"

	"github.com/hubgate/hubgate/hub"
)

// tries bounds how often a change is tried when others change the same
// identity at the same time.
const tries = 10

// Update replaces an identity: the status, the authentication and the device's
// or module's own fields are taken from r as in [Registry.Create], so that
// keys that are missing are made anew (as in the real hub). ifMatch is * or
// the etag, with or without quotes, that the identity must still have; it fails
// with PreconditionFailed otherwise, and when ifMatch is empty. It fails with
// InvalidScope when an edge device does not have its own scope in r, and with
// ArgumentInvalid for the modules that an edge device has by itself.
func (s *Registry) Update(ctx context.Context, r Record, ifMatch string) (Record, error) {
	if err := checkNewID(r.ID); err != nil {
		return Record{}, err
	}
	var wasEdge bool
	next, err := s.change(ctx, r.ID, ifMatch, func(old *Record) error {
		wasEdge = old.Edge
		old.Status, old.StatusReason = r.Status, r.StatusReason
		old.Authentication, old.Edge, old.ManagedBy = r.Authentication, r.Edge, r.ManagedBy
		old.Scope, old.ParentScopes = r.Scope, r.ParentScopes
		return nil
	})
	switch {
	case err != nil:
	case next.Edge: // those that an interrupted change has left out too
		err = s.addEdgeModules(ctx, next)
	case wasEdge && !next.Edge:
		err = s.deleteEdgeModules(ctx, next.ID)
	}
	if err != nil {
		return Record{}, err
	}
	return next, nil
}

// SetStatus enables or disables a device and says why. It fails with
// ArgumentInvalid for a module, which has no status.
func (s *Registry) SetStatus(ctx context.Context, id hub.Identity, status Status, reason string) (Record, error) {
	if id.IsModule() {
		return Record{}, hub.Errorf(hub.ArgumentInvalid, "the module %s has no status: enable or disable its device", id)
	}
	if status == "" {
		return Record{}, hub.Errorf(hub.ArgumentInvalid, "no status is given: use enabled or disabled")
	}
	return s.change(ctx, id, "*", func(r *Record) error {
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

// RegenerateKeys makes new keys and leaves the others as they are. It fails
// with ArgumentInvalid when the identity does not authenticate by SAS token.
func (s *Registry) RegenerateKeys(ctx context.Context, id hub.Identity, which KeyChoice) (Record, error) {
	return s.change(ctx, id, "*", func(r *Record) error {
		if r.Authentication.Type != AuthSAS {
			return hub.Errorf(hub.ArgumentInvalid, "%s has no keys: it authenticates by %s", id, r.Authentication.Type)
		}
		keys := &r.Authentication.SymmetricKey
		switch which {
		case PrimaryKey:
			keys.PrimaryKey = hub.NewKey()
		case SecondaryKey:
			keys.SecondaryKey = hub.NewKey()
		case BothKeys:
			*keys = SymmetricKey{hub.NewKey(), hub.NewKey()}
		default:
			return hub.Errorf(hub.ArgumentInvalid, "there is no key %q: use primary, secondary or both", clip(string(which)))
		}
		return nil
	})
}

// change applies edit to the current record and stores it; again when somebody
// else was faster and ifMatch still allows it.
func (s *Registry) change(ctx context.Context, id hub.Identity, ifMatch string, edit func(*Record) error) (Record, error) {
	for try := 1; ; try++ {
		r, err := s.changeOnce(ctx, id, ifMatch, edit)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, errRace) {
			return Record{}, err
		}
		if try == tries {
			return Record{}, hub.Errorf(hub.ServiceUnavailable, "%s was changed by others %d times while this change was tried; try again", id, tries)
		}
	}
}

// errRace is a compare-and-set that somebody else has won.
var errRace = errors.New("somebody else was faster")

func (s *Registry) changeOnce(ctx context.Context, id hub.Identity, ifMatch string, edit func(*Record) error) (Record, error) {
	r, err := s.Get(ctx, id)
	if err != nil {
		return Record{}, err
	}
	if err := matches(r, ifMatch); err != nil {
		return Record{}, err
	}
	old := r
	if err := edit(&r); err != nil {
		return Record{}, err
	}
	if err := complete(&r); err != nil {
		return Record{}, err
	}
	if err := s.completeScope(ctx, &r, old); err != nil {
		return Record{}, err
	}
	if r.Status != old.Status {
		r.StatusUpdatedTime = s.now()
	}
	r.ETag = nextETag(r.ETag)
	r.Revision, err = s.Store.Update(ctx, r)
	return r, raced(err)
}

// raced turns a store's PreconditionFailed into errRace.
func raced(err error) error {
	if errors.Is(err, &hub.Error{Code: hub.PreconditionFailed}) {
		return errRace
	}
	return err
}

// Delete removes an identity, and with a device its modules. ifMatch is as in
// [Registry.Update]; a device's is checked before its modules go. It fails with
// ArgumentInvalid for the modules that an edge device has by itself.
func (s *Registry) Delete(ctx context.Context, id hub.Identity, ifMatch string) error {
	if err := checkNewID(id); err != nil {
		return err
	}
	return s.remove(ctx, id, ifMatch)
}

func (s *Registry) remove(ctx context.Context, id hub.Identity, ifMatch string) error {
	return s.removeOf(ctx, id, ifMatch, "")
}

// removeOf removes an identity of a generation, or with "" of any.
func (s *Registry) removeOf(ctx context.Context, id hub.Identity, ifMatch, generation string) error {
	for try := 1; ; try++ {
		err := s.removeOnce(ctx, id, ifMatch, generation)
		if err == nil || !errors.Is(err, errRace) {
			return err
		}
		if try == tries {
			return hub.Errorf(hub.ServiceUnavailable, "%s was changed by others %d times while it was to be deleted; try again", id, tries)
		}
	}
}

func (s *Registry) removeOnce(ctx context.Context, id hub.Identity, ifMatch, generation string) error {
	r, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	if generation != "" && r.GenerationID != generation {
		return hub.Errorf(hub.PreconditionFailed, "%s was deleted and created again", id)
	}
	if err := matches(r, ifMatch); err != nil {
		return err
	}
	if !id.IsModule() {
		if claimed, err := s.claim(ctx, r, ifMatch); err != nil {
			return err
		} else if claimed {
			return s.removeOf(ctx, id, "*", r.GenerationID)
		}
		if err := s.deleteModules(ctx, id); err != nil {
			return err
		}
	}
	if err := s.Store.Delete(ctx, r); err != nil {
		return raced(err)
	}
	if s.Events != nil {
		s.Events.Deleted(r)
	}
	if id.IsModule() {
		return nil
	}
	return s.deleteLate(ctx, id)
}

// claim uses up the etag of a device that has modules, if the caller knows it, before the
// first of them goes: from here on the deletion can't be refused any more. It reports
// whether it has.
func (s *Registry) claim(ctx context.Context, r Record, ifMatch string) (bool, error) {
	if unquoted(ifMatch) == "*" {
		return false, nil
	}
	modules, err := s.Store.List(ctx, Query{Device: r.ID.Device, Limit: 1})
	if err != nil || len(modules) == 0 {
		return false, err
	}
	r.ETag = nextETag(r.ETag)
	if _, err := s.Store.Update(ctx, r); err != nil {
		return false, raced(err)
	}
	return true, nil
}

// deleteLate removes the modules that were made while their device was deleted, by
// a Create that saw it. If there is a device again, they may be its own, and who
// has made one for the device before takes it back; see keepParent.
func (s *Registry) deleteLate(ctx context.Context, device hub.Identity) error {
	late, err := s.Store.List(ctx, Query{Device: device.Device})
	if err != nil || len(late) == 0 {
		return err
	}
	if _, err := s.Store.Get(ctx, device); !errors.Is(err, &hub.Error{Code: hub.DeviceNotFound}) {
		return err
	}
	for _, m := range late {
		err := s.Store.Delete(ctx, m) // of this revision: not one that was made anew
		if err != nil && !isGone(err) {
			return err
		}
		if err == nil && s.Events != nil {
			s.Events.Deleted(m)
		}
	}
	return nil
}

func (s *Registry) deleteModules(ctx context.Context, device hub.Identity) error {
	modules, err := s.Store.List(ctx, Query{Device: device.Device})
	if err != nil {
		return err
	}
	for _, m := range modules {
		if err := s.remove(ctx, m.ID, "*"); err != nil && !isGone(err) {
			return err
		}
	}
	return nil
}

// isGone reports whether err says that somebody else has deleted it.
func isGone(err error) bool {
	return errors.Is(err, &hub.Error{Code: hub.ModuleNotFound}) || errors.Is(err, &hub.Error{Code: hub.PreconditionFailed})
}

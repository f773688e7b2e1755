package identity_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/hubgate/hubgate/backend/backendtest"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// fakeStore is an identity.Store in a map, with faults on demand.
type fakeStore struct {
	mu       sync.Mutex
	records  map[hub.Identity]identity.Record
	revision uint64

	races  int                              // how many more changes lose against somebody else
	fail   error                            // of every call
	before func(op string, id hub.Identity) // called without the lock
}

func newStore() *fakeStore { return &fakeStore{records: map[hub.Identity]identity.Record{}} }

func (s *fakeStore) begin(ctx context.Context, op string, id hub.Identity) error {
	if s.before != nil {
		s.before(op, id)
	}
	if ctx.Err() != nil {
		return hub.Errorf(hub.ServiceUnavailable, "%s: %w", op, ctx.Err())
	}
	return s.fail
}

func (s *fakeStore) Get(ctx context.Context, id hub.Identity) (identity.Record, error) {
	if err := s.begin(ctx, "get", id); err != nil {
		return identity.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	if !ok {
		return identity.Record{}, identity.NotFound(id)
	}
	return r, nil
}

func (s *fakeStore) Create(ctx context.Context, r identity.Record) (uint64, error) {
	if err := s.begin(ctx, "create", r.ID); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.records[r.ID]; ok {
		return 0, identity.AlreadyExists(r.ID)
	}
	return s.put(r), nil
}

func (s *fakeStore) Update(ctx context.Context, r identity.Record) (uint64, error) {
	if err := s.begin(ctx, "update", r.ID); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(r); err != nil {
		return 0, err
	}
	return s.put(r), nil
}

func (s *fakeStore) Delete(ctx context.Context, r identity.Record) error {
	if err := s.begin(ctx, "delete", r.ID); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(r); err != nil {
		return err
	}
	delete(s.records, r.ID)
	return nil
}

func (s *fakeStore) check(r identity.Record) error {
	if s.races > 0 {
		s.races--
		s.put(s.records[r.ID])
	}
	now, ok := s.records[r.ID]
	if !ok || now.Revision != r.Revision {
		return hub.Errorf(hub.PreconditionFailed, "revision %d is not current", r.Revision)
	}
	return nil
}

func (s *fakeStore) put(r identity.Record) uint64 {
	s.revision++
	r.Revision = s.revision
	s.records[r.ID] = r
	return r.Revision
}

func (s *fakeStore) List(ctx context.Context, q identity.Query) ([]identity.Record, error) {
	if err := s.begin(ctx, "list", hub.Identity{Device: q.Device}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []identity.Record
	for id, r := range s.records {
		isListed := !id.IsModule() && id.Device > q.After
		if q.Device != "" {
			isListed = id.IsModule() && id.Device == q.Device && id.Module > q.After
		}
		if isListed {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b identity.Record) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return all[:min(len(all), cmp.Or(q.Limit, identity.MaxList))], nil
}

// The fake keeps the promises that the rules rely on.
func TestFakeStore(t *testing.T) {
	backendtest.Devices(t, func(*testing.T) identity.Store { return newStore() })
}

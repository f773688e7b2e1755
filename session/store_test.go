package session_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/hubgate/hubgate/backend/backendtest"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// mapStore shows the least that a session.Store must do, and that the suite
// for stores asks for no more than the interface says.
type mapStore struct {
	mu       sync.Mutex
	sessions map[hub.Identity]session.Session
	revision uint64
	watchers []chan session.Claim
}

func (s *mapStore) Claim(_ context.Context, next session.Session) (session.Session, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, present := session.Resume(s.sessions[next.ID], next)
	s.put(&next)
	next.Epoch = next.Revision
	s.sessions[next.ID] = next
	for _, w := range s.watchers {
		w <- session.Claim{ID: next.ID, Epoch: next.Epoch, Node: next.Node, Connection: next.Connection}
	}
	return next, present, nil
}

func (s *mapStore) put(v *session.Session) {
	s.revision++
	v.Revision = s.revision
	stored := *v
	stored.Subscriptions = slices.Clone(v.Subscriptions)
	s.sessions[v.ID] = stored
}

func (s *mapStore) Save(_ context.Context, v *session.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[v.ID].Epoch != v.Epoch {
		return hub.Errorf(hub.ConnectionReplaced, "%s has a newer connection", v.ID)
	}
	s.put(v)
	return nil
}

func (s *mapStore) Release(ctx context.Context, v *session.Session) error {
	v.Connected = false
	return s.Save(ctx, v)
}

func (s *mapStore) Get(_ context.Context, id hub.Identity) (session.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id], nil
}

func (s *mapStore) Watch(ctx context.Context, claimed func(session.Claim)) error {
	told := make(chan session.Claim, 1000)
	s.mu.Lock()
	s.watchers = append(s.watchers, told)
	s.mu.Unlock()
	for {
		select {
		case c := <-told:
			claimed(c)
		case <-ctx.Done():
			return nil
		}
	}
}

func TestMapStore(t *testing.T) {
	backendtest.Sessions(t, func(*testing.T) session.Store {
		return &mapStore{sessions: map[hub.Identity]session.Session{}}
	})
}

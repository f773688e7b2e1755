package twin

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// memory is a store that a test can look into and disturb.
type memory struct {
	mu       sync.Mutex
	twins    map[hub.Identity]Twin
	revision uint64
	gets     int
	puts     int
	claims   uint64
	latency  time.Duration // of each call
	changes  []Change
	before   func(id hub.Identity) // of a Put, without the lock
	fail     error                 // of the next call
	listen   func(Announcement)
}

func newMemory(ids ...hub.Identity) *memory {
	m := &memory{twins: map[hub.Identity]Twin{}}
	for _, id := range ids {
		m.twins[id] = New(id, "1", created)
	}
	return m
}

var (
	created = time.Date(2026, 11, 21, 8, 0, 0, 123456700, time.UTC)
	later   = created.Add(time.Minute)
	dev     = hub.Identity{Device: "dev1"}
	mod     = hub.Identity{Device: "dev1", Module: "cam"}
)

func (m *memory) failure() error {
	err := m.fail
	m.fail = nil
	return err
}

func (m *memory) Get(_ context.Context, id hub.Identity) (Twin, error) {
	m.wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	if err := m.failure(); err != nil {
		return Twin{}, err
	}
	t, ok := m.twins[id]
	if !ok {
		return Twin{}, hub.Errorf(hub.DeviceNotFound, "the device %s does not exist", id)
	}
	return t, nil
}

func (m *memory) Put(_ context.Context, next Twin, c Change) (uint64, error) {
	if f := m.before; f != nil {
		m.before = nil
		f(next.ID)
	}
	m.wait()
	m.mu.Lock()
	m.puts++
	if err := m.failure(); err != nil {
		m.mu.Unlock()
		return 0, err
	}
	old, ok := m.twins[next.ID]
	if !ok || old.Revision != next.Revision {
		m.mu.Unlock()
		return 0, hub.Errorf(hub.PreconditionFailed, "changed")
	}
	m.revision++
	next.Revision = m.revision
	m.twins[next.ID] = next
	m.changes = append(m.changes, c)
	listen := m.listen
	m.mu.Unlock()
	if listen != nil && !c.Reported {
		listen(Announcement{ID: next.ID, Revision: next.Revision, Desired: c.Desired})
	}
	return next.Revision, nil
}

// Claimed: claims is the last epoch that the store of sessions knows.
func (m *memory) Claimed(_ context.Context, epoch uint64) (bool, error) {
	return epoch <= m.claims, nil
}

func (m *memory) Written(_ context.Context, revision uint64) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return revision <= m.revision, nil
}

func (m *memory) wait() {
	if m.latency > 0 {
		<-time.After(m.latency)
	}
}

func service(m *memory) *Twins { return &Twins{Store: m, Now: func() time.Time { return later }} }

// update and reported are requests that must succeed.
func update(t *testing.T, s *Twins, body string) Twin {
	t.Helper()
	got, err := s.Update(t.Context(), dev, Write{Body: []byte(body)})
	if err != nil {
		t.Fatalf("Update(%s): %v", body, err)
	}
	return got
}

func wantCode(t *testing.T, err error, want hub.Code) {
	t.Helper()
	if got := hub.CodeOf(err); got != want {
		t.Errorf("got error %v, want code %d", err, want)
	}
}

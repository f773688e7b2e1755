package backend

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

const (
	claimAttempts = 20 // against other claims of the same identity
	retryPause    = 2 * time.Millisecond
)

// SessionStore keeps sessions in the bucket hub_presence: one key for each
// identity, written only by compare-and-set. It is safe for concurrent use.
type SessionStore struct {
	bucket *bucket
	names  subject.Names
	nc     *nats.Conn
	log    zerolog.Logger
}

var _ session.Store = (*SessionStore)(nil)

// stored is the value of a key. A claim has no epoch in it: its revision is
// the epoch.
type stored struct {
	session.Session
	Epoch uint64 `json:"epoch,omitempty"`
}

// Claim implements [session.Store]: one read and one compare-and-set when
// nobody else claims the same identity at the same moment.
func (s *SessionStore) Claim(ctx context.Context, next session.Session) (session.Session, bool, error) {
	key := subject.Key(next.ID)
	for try := range claimAttempts {
		prev, err := s.read(ctx, next.ID)
		if err != nil {
			return session.Session{}, false, err
		}
		claimed, present := session.Resume(prev, next)
		rev, err := s.write(ctx, key, stored{Session: claimed}, prev.Revision)
		if err == nil {
			claimed.Epoch, claimed.Revision = rev, rev
			s.announce(claimed)
			return claimed, present, nil
		}
		if !isConflict(err) {
			return session.Session{}, false, err
		}
		if !wait(ctx, retryPause*time.Duration(try+1)) {
			break
		}
	}
	return session.Session{}, false, hub.Errorf(hub.ServiceUnavailable, "too many connections claim %s at once", next.ID)
}

// announce tells the other nodes. The claim holds without it: an older owner
// who misses it is refused at its next write.
func (s *SessionStore) announce(c session.Session) {
	body, err := json.Marshal(session.Claim{Epoch: c.Epoch, Node: c.Node, Connection: c.Connection})
	if err == nil {
		err = s.nc.Publish(s.names.Claimed(c.ID), body)
	}
	if err != nil {
		s.log.Warn().Err(err).Str("device_id", c.ID.Device).Str("module_id", c.ID.Module).Msg("a claim could not be announced")
	}
}

// Save implements [session.Store].
func (s *SessionStore) Save(ctx context.Context, owned *session.Session) error {
	key := subject.Key(owned.ID)
	value := stored{Session: *owned, Epoch: owned.Epoch}
	rev, err := s.write(ctx, key, value, owned.Revision)
	if isConflict(err) {
		rev, err = s.again(ctx, key, value)
	}
	if err != nil {
		return err
	}
	owned.Revision = rev
	return nil
}

// Release implements [session.Store].
func (s *SessionStore) Release(ctx context.Context, owned *session.Session) error {
	owned.Connected = false
	return s.Save(ctx, owned)
}

// again is for a write that met another revision. Either there is a newer
// owner, or an earlier write of this one was stored although its answer was
// lost; then the write may be repeated.
func (s *SessionStore) again(ctx context.Context, key string, value stored) (uint64, error) {
	now, err := s.read(ctx, value.ID)
	if err != nil {
		return 0, err
	}
	if now.Epoch != value.Epoch {
		return 0, replaced(value.ID)
	}
	rev, err := s.write(ctx, key, value, now.Revision)
	if isConflict(err) {
		return 0, replaced(value.ID)
	}
	return rev, err
}

func replaced(id hub.Identity) error {
	return hub.Errorf(hub.ConnectionReplaced, "%s has a newer connection, or its session has been removed", id)
}

// Get implements [session.Store].
func (s *SessionStore) Get(ctx context.Context, id hub.Identity) (session.Session, error) {
	got, err := s.read(ctx, id)
	if got.Generation == "" && got.Revision == 0 {
		return session.Session{}, err
	}
	return got, err
}

// Remove deletes the session of id, for an identity that is deleted.
func (s *SessionStore) Remove(ctx context.Context, id hub.Identity) error {
	return s.bucket.remove(ctx, subject.Key(id), 0)
}

// read returns the session of id, with nothing but the id when there is none.
func (s *SessionStore) read(ctx context.Context, id hub.Identity) (session.Session, error) {
	e, err := s.bucket.get(ctx, subject.Key(id))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return session.Session{ID: id}, nil
	}
	if err != nil {
		return session.Session{}, err
	}
	return decodeSession(id, e), nil
}

// decodeSession reads a value. One that is damaged counts as no session, so
// that it can be replaced: the device begins anew, and is told so.
func decodeSession(id hub.Identity, e jetstream.KeyValueEntry) session.Session {
	var v stored
	if json.Unmarshal(e.Value(), &v) != nil {
		v = stored{}
	}
	v.ID, v.Revision, v.Session.Epoch = id, e.Revision(), v.Epoch
	if v.Epoch == 0 {
		v.Session.Epoch = e.Revision()
	}
	return v.Session
}

func (s *SessionStore) write(ctx context.Context, key string, v stored, rev uint64) (uint64, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return 0, hub.Errorf(hub.ServerError, "write the session of %s as JSON: %w", v.ID, err)
	}
	return s.bucket.put(ctx, key, value, rev)
}

// isConflict reports a compare-and-set that met another revision.
func isConflict(err error) bool {
	return errors.Is(err, errStale) || errors.Is(err, jetstream.ErrKeyExists)
}

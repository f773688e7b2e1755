package backend

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

const (
	claimAttempts = 20 // against other claims of the same identity
	retryPause    = 2 * time.Millisecond
	saveTime      = 2 * requestTimeout // against other writers of a session
)

// SessionStore keeps sessions in the bucket hub_presence: one key for each
// identity, written only by compare-and-set. It is safe for concurrent use.
type SessionStore struct {
	bucket *bucket
	names  subject.Names
	nc     *nats.Conn
	log    zerolog.Logger
	wills  *willStore
	nodes  *Nodes
	debts  *debts
	ends   *ends
	late   sync.Map // how connections ended, by name, of which that could not be stored yet: session.Session
}

var _ session.Store = (*SessionStore)(nil)

// Claim implements [session.Store]: one read and one compare-and-set when
// nobody else claims the same identity at the same moment, and one write before
// them if there is a will. Then the node must still count as alive.
func (s *SessionStore) Claim(ctx context.Context, next session.Session) (session.Session, bool, error) {
	var err error
	if next.Instance, err = s.nodes.claims(); err != nil {
		return session.Session{}, false, err
	}
	if next.Will != nil {
		if next.WillID, err = s.wills.keep(ctx, next.ID, next.Instance, next.Will); err != nil {
			return session.Session{}, false, err
		}
		next.Will = nil
	}
	claimed, present, f, err := s.claimOnce(ctx, next)
	if err != nil {
		s.disown(next, err, f)
		return session.Session{}, false, err
	}
	if !s.nodes.census.isAlone() {
		s.announce(claimed.ID, session.Claim{Epoch: claimed.Epoch, Node: claimed.Node, Connection: claimed.Connection})
	}
	if err := s.nodes.confirm(ctx, claimed.Instance); err != nil {
		s.disown(next, err, f)
		return session.Session{}, false, err
	}
	s.sendWills(claimed)
	s.tellEnds(ctx, claimed.ID, f)
	return claimed, present, nil
}

// claimOnce claims, and returns the ends that have to be told.
func (s *SessionStore) claimOnce(ctx context.Context, next session.Session) (claimed session.Session, present bool, f farewell, err error) {
	key := subject.Key(next.ID)
	for try := range claimAttempts {
		prev, err := s.read(ctx, next.ID)
		if err != nil {
			return session.Session{}, false, farewell{}, refusedClaim{err}
		}
		claimed, present := session.Resume(prev, next)
		if n := len(claimed.Owed); n > session.MaxOwed {
			if s.payNow(ctx, next.ID) {
				continue
			}
			return session.Session{}, false, farewell{}, refusedClaim{hub.Errorf(hub.ServiceUnavailable, "%d wills of %s wait already to be stored", n, next.ID)}
		}
		f, err := s.takeOver(ctx, prev, &claimed)
		if err != nil {
			return session.Session{}, false, farewell{}, refusedClaim{err}
		}
		f.paid = s.ends.owe(next.ID, claimed.Ends)
		rev, err := s.write(ctx, key, stored{Session: claimed}, prev.Revision)
		if err == nil {
			claimed.Epoch, claimed.Revision = rev, rev
			return claimed, present, f, nil
		}
		if !isConflict(err) {
			return session.Session{}, false, f, err
		}
		f.paid()
		if !wait(ctx, retryPause*time.Duration(try+1)) {
			break
		}
	}
	return session.Session{}, false, farewell{}, refusedClaim{hub.Errorf(hub.ServiceUnavailable, "too many connections claim %s at once", next.ID)}
}

// refusedClaim is the error of a claim that is certainly not stored.
type refusedClaim struct{ error }

// Unwrap implements the interface of package errors.
func (e refusedClaim) Unwrap() error { return e.error }

func isRefused(err error) bool {
	_, refused := errors.AsType[refusedClaim](err)
	return refused
}

// announce tells the other nodes. What is announced holds without it: an older
// owner who misses it is refused at its next write.
func (s *SessionStore) announce(id hub.Identity, c session.Claim) {
	body, err := claimBody(c)
	if err == nil {
		err = s.nc.Publish(s.names.Claimed(id), body)
	}
	if err != nil {
		s.log.Warn().Err(err).Str("device_id", id.Device).Str("module_id", id.Module).Msg("a claim could not be announced")
	}
}

// Save implements [session.Store].
func (s *SessionStore) Save(ctx context.Context, owned *session.Session) error {
	_, err := s.save(ctx, owned, unchanged)
	if errors.Is(err, errRemoved) {
		return hub.Errorf(hub.ConnectionReplaced, "the session of %s has been removed", owned.ID)
	}
	return err
}

// lastWord changes what is to be written of a session, and names the will that this
// discards. It gets a copy: the address of one would move it to the heap.
type lastWord func(session.Session) (changed session.Session, discarded string)

func unchanged(v session.Session) (session.Session, string) { return v, "" }

func released(v session.Session) (session.Session, string) {
	discarded := v.End()
	return v, discarded
}

// save writes what the owner has, changed by last.
func (s *SessionStore) save(ctx context.Context, owned *session.Session, last lastWord) (discarded string, err error) {
	key := subject.Key(owned.ID)
	next := *owned
	next.Ends = s.ends.untold(owned.ID, owned.Ends)
	next, discarded = last(next)
	rev, err := s.write(ctx, key, stored{Session: next, Epoch: owned.Epoch}, owned.Revision)
	if isConflict(err) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, saveTime)
		defer cancel()
	}
	for try := 0; isConflict(err) && try < claimAttempts; try++ {
		// Either somebody else owns the session now, or a sender of wills has written, or
		// an earlier write of this one was stored although its answer was lost; then the
		// write may be repeated.
		now, readErr := s.read(ctx, owned.ID)
		if readErr != nil {
			return "", readErr
		}
		if now.Epoch != owned.Epoch || now.RepairedBy != "" {
			return "", replaced(owned.ID, now)
		}
		next = *owned
		next.Owed, next.WillID = now.Owed, now.WillID // they are the store's
		next.Ends = s.ends.untold(owned.ID, owned.Ends)
		var will string
		next, will = last(next)
		discarded = cmp.Or(will, discarded) // a write without an answer may have taken the name
		rev, err = s.write(ctx, key, stored{Session: next, Epoch: owned.Epoch}, now.Revision)
	}
	if isConflict(err) {
		return "", hub.Errorf(hub.ServiceUnavailable, "too many write the session of %s at once", owned.ID)
	}
	if err != nil {
		return "", err
	}
	// Only what has changed: others read the ID and the Epoch meanwhile.
	owned.Connected, owned.Ends, owned.Owed, owned.WillID, owned.Revision = next.Connected, next.Ends, next.Owed, next.WillID, rev
	return discarded, nil
}

// errRemoved is why an owner can't write a session that is gone.
var errRemoved = errors.New("the session has been removed")

func replaced(id hub.Identity, now session.Session) error {
	switch {
	case now.Revision == 0:
		return errRemoved
	case now.RepairedBy != "" && !now.Connected:
		return hub.Errorf(hub.ConnectionReplaced, "the node of %s was taken for dead, and %s has ended its connection", id, now.RepairedBy)
	default:
		return hub.Errorf(hub.ConnectionReplaced, "%s has a newer connection", id)
	}
}

// Release implements [session.Store].
func (s *SessionStore) Release(ctx context.Context, owned *session.Session) error {
	// Nobody may take the end for told between the write and the event.
	end := ending{owned.ID, owned.Epoch}
	s.ends.events.owe(end)
	err := s.release(ctx, owned)
	if err == nil && !owned.Untold {
		s.ends.events.Connection(owned.Ended())
	}
	if err == nil || hub.CodeOf(err) == hub.ConnectionReplaced {
		s.ends.events.pay(end)
		return err
	}
	later := *owned
	s.late.Store(later.Connection, *owned)
	s.debts.add("the end of a connection", func(ctx context.Context) error {
		if err := s.releaseLate(ctx, &later); err != nil {
			return err
		}
		s.late.Delete(later.Connection)
		s.ends.events.pay(end)
		return nil
	})
	return err
}

// releaseLate releases what an earlier try may have released already: then a claim
// of this process has come upon a connection that had ended, and has taken its end
// for on its way. The caller owes the end.
func (s *SessionStore) releaseLate(ctx context.Context, owned *session.Session) error {
	err := s.release(ctx, owned)
	if err == nil {
		s.ends.events.Connection(owned.Ended())
		return nil
	}
	if hub.CodeOf(err) != hub.ConnectionReplaced {
		return err
	}
	now, err := s.read(ctx, owned.ID)
	if err != nil {
		return err
	}
	if !owned.Untold && (now.Node != owned.Node || now.Instance != owned.Instance) {
		return nil // another node looks itself what is told
	}
	if s.ends.events.owesTwice(ending{owned.ID, owned.Epoch}) {
		return errAgain // whoever has claimed may be telling it
	}
	_, err = s.ends.complete(ctx, owned.ID, []session.Past{owned.Last()})
	return err
}

func (s *SessionStore) release(ctx context.Context, owned *session.Session) error {
	discarded, err := s.save(ctx, owned, released)
	if errors.Is(err, errRemoved) {
		s.orphan(*owned)
		owned.End()
		return nil
	}
	if err != nil {
		return err
	}
	s.forgetWill(owned.ID, discarded)
	s.sendWills(*owned)
	return nil
}

// Get implements [session.Store].
func (s *SessionStore) Get(ctx context.Context, id hub.Identity) (session.Session, error) {
	got, err := s.read(ctx, id)
	if got.Generation == "" && got.Revision == 0 {
		return session.Session{}, err
	}
	return got, err
}

// Remove deletes the session of an identity that is deleted, and not that of
// another generation: the identity may be there again, and connected.
func (s *SessionStore) Remove(ctx context.Context, id hub.Identity, generation string) error {
	return s.bucket.removeIf(ctx, subject.Key(id), func(m direct.Message) bool {
		return sessionOf(id, m.Data, m.Sequence).Generation == generation
	})
}

// read returns the session of id, with nothing but the id when there is none.
func (s *SessionStore) read(ctx context.Context, id hub.Identity) (session.Session, error) {
	m, err := s.bucket.current(ctx, subject.Key(id))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return session.Session{ID: id}, nil
	}
	if err != nil {
		return session.Session{}, err
	}
	return sessionOf(id, m.Data, m.Sequence), nil
}

// decodeSession reads a value. One that is damaged counts as no session, so
// that it can be replaced: the device begins anew, and is told so.
func decodeSession(id hub.Identity, e jetstream.KeyValueEntry) session.Session {
	return sessionOf(id, e.Value(), e.Revision())
}

func sessionOf(id hub.Identity, value []byte, revision uint64) session.Session {
	v, _ := parseSession(id, value)
	v.ID, v.Revision = id, revision
	if v.Epoch == 0 {
		v.Epoch = revision
	}
	return v
}

// parseSession reads the value of the key of id, without what its revision
// says.
func parseSession(id hub.Identity, value []byte) (s session.Session, ok bool) {
	var v stored
	if v.parse(value) != nil {
		return session.Session{ID: id}, false
	}
	v.ID, v.Session.Epoch = id, v.Epoch
	return v.Session, true
}

func (s *SessionStore) write(ctx context.Context, key string, v stored, rev uint64) (uint64, error) {
	text, _ := texts.Get().(*[]byte)
	defer texts.Put(text)
	var err error
	if *text, err = v.append((*text)[:0]); err != nil {
		return 0, hub.Errorf(hub.ServerError, "write the session of %s as JSON: %w", v.ID, err)
	}
	return s.bucket.put(ctx, key, *text, rev)
}

// isConflict reports a compare-and-set that met another revision.
func isConflict(err error) bool {
	return errors.Is(err, errStale) || errors.Is(err, jetstream.ErrKeyExists)
}

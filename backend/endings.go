package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// claimDoubt is how long a claim without an answer may be on its way.
const claimDoubt = 15 * time.Second

// disown makes sure that a claim that has failed owns nothing, and leaves no
// will. It may have been stored although the answer was lost, or be stored yet;
// until that is known, the ends that it was to tell are owed.
func (s *SessionStore) disown(next session.Session, err error, f farewell) {
	if isRefused(err) {
		s.forgetWill(next.ID, next.WillID)
		return
	}
	abandon := func(ctx context.Context) error { return s.abandon(ctx, next) }
	s.debts.add("the end of a claim", abandon)
	s.debts.later(claimDoubt, "the end of a claim", func(ctx context.Context) error {
		err := abandon(ctx)
		if err == nil {
			f.paid()
		}
		return err
	})
}

// abandon ends a claim that nobody was told of.
func (s *SessionStore) abandon(ctx context.Context, next session.Session) error {
	now, err := s.read(ctx, next.ID)
	if err != nil {
		return err
	}
	if now.Connection != next.Connection || now.Node != next.Node || now.Instance != next.Instance {
		if !slices.Contains(now.Owed, next.WillID) {
			s.forgetWill(next.ID, next.WillID)
		}
		return s.tellLate(ctx, now)
	}
	if !now.Connected {
		return nil
	}
	ended := now
	ended.Untold = true
	ended.DisconnectedTime = time.Now()
	ended.Reason, ended.Code = "the store did not answer in time whether the connection was let in", hub.ServiceUnavailable
	discarded := ended.End()
	if _, err := s.write(ctx, subject.Key(next.ID), stored{Session: ended, Epoch: now.Epoch}, now.Revision); err != nil {
		return err // after a conflict, too, it is looked at again
	}
	s.debts.add("the end of a connection", func(ctx context.Context) error { return s.tellLate(ctx, now) })
	s.forgetWill(now.ID, discarded)
	s.sendWills(ended)
	return nil
}

// tellLate tells the ends that a claim in doubt was to tell, when it is ended, or
// after another claim: if that is one of this process, it has taken them for on
// their way.
func (s *SessionStore) tellLate(ctx context.Context, now session.Session) error {
	_, err := s.ends.complete(ctx, now.ID, now.Ends)
	return err
}

// settle waits until this process owes nothing any more. When ctx has ended
// before, it says what is left.
func (s *SessionStore) settle(ctx context.Context) error {
	if !s.debts.wait(ctx) {
		return fmt.Errorf("%d debts are left", s.debts.count())
	}
	if s.ends != nil && !s.ends.events.settle(ctx) {
		return errors.New("ends of connections are left that the stream of events has not taken")
	}
	return nil
}

// forgetWill removes a will that is not to be sent; "" is none.
func (s *SessionStore) forgetWill(id hub.Identity, will string) {
	if will != "" {
		s.debts.add("the removal of a will", func(ctx context.Context) error { return s.wills.forget(ctx, id, will) })
	}
}

// sendWills has the wills sent that a session owes.
func (s *SessionStore) sendWills(v session.Session) {
	if id := v.ID; len(v.Owed) > 0 {
		s.debts.add("a will", func(ctx context.Context) error { return s.payWills(ctx, id) })
	}
}

// payNow sends what the session of id owes, if that takes no longer than a claim may
// wait, and reports whether it is sent. Who has to send it may be gone: no node of a hub
// that was restored from a backup knows of it.
func (s *SessionStore) payNow(ctx context.Context, id hub.Identity) bool {
	ctx, cancel := context.WithTimeout(ctx, endsPatience)
	defer cancel()
	return s.payWills(ctx, id) == nil
}

// payWills sends what the session of id owes and notes that it is sent.
func (s *SessionStore) payWills(ctx context.Context, id hub.Identity) error {
	now, err := s.read(ctx, id)
	if err != nil {
		return err
	}
	sent := now.Owed
	for _, will := range sent {
		if err := s.wills.send(ctx, id, will); err != nil {
			return err
		}
	}
	for len(sent) > 0 {
		left := now
		left.Owed = slices.DeleteFunc(slices.Clone(now.Owed), func(will string) bool { return slices.Contains(sent, will) })
		if len(left.Owed) == len(now.Owed) {
			return nil
		}
		_, err := s.write(ctx, subject.Key(id), stored{Session: left, Epoch: now.Epoch}, now.Revision)
		if !isConflict(err) {
			return err
		}
		if now, err = s.read(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// orphan settles the will of a connection whose identity has been deleted, and
// its session with it.
func (s *SessionStore) orphan(owned session.Session) {
	if owned.Code == 0 || owned.Untold {
		s.forgetWill(owned.ID, owned.WillID)
	} else if owned.WillID != "" {
		s.debts.add("a will", func(ctx context.Context) error { return s.wills.send(ctx, owned.ID, owned.WillID) })
	}
}

package backend

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// ends tells how connections ended that could not tell it themselves, and knows
// which ends this process may still have to tell. It is safe for concurrent use.
type ends struct {
	events *Events
	log    *eventLog
	known  time.Duration // how old an end may be of which the stream is sure to know still
}

// longKnown is after how long an end counts as told at the latest: by then all who
// may have had to tell it are repaired.
const longKnown = 24 * time.Hour

func newEnds(events *Events, log *eventLog, kept Limits) *ends {
	e := &ends{events, log, longKnown}
	if kept.MaxAge > 0 {
		e.known = min(e.known, kept.MaxAge/2)
	}
	return e
}

// owe notes that this process tells the ends of connections of id. Whoever calls
// it calls paid when they are told, or more often.
func (e *ends) owe(id hub.Identity, all []session.Past) (paid func()) {
	if len(all) == 0 {
		return func() {}
	}
	owed := make([]ending, len(all))
	for i := range all {
		owed[i] = ending{id, all[i].Epoch}
		e.events.owe(owed[i])
	}
	return sync.OnceFunc(func() {
		for _, one := range owed {
			e.events.pay(one)
		}
	})
}

// untold is those of all, of which this process sees to the ends, that may not be
// in the stream yet.
func (e *ends) untold(id hub.Identity, all []session.Past) []session.Past {
	left := slices.DeleteFunc(slices.Clone(all), func(p session.Past) bool { return !e.events.owes(ending{id, p.Epoch}) })
	return slices.Clip(left)
}

// complete stores the beginnings and ends of connections of id, in the order of
// their epochs, that the stream does not have, and returns how many they were.
func (e *ends) complete(ctx context.Context, id hub.Identity, all []session.Past) (stored int, err error) {
	var events []session.Event
	for i := range all {
		events = append(events, all[i].Began(id), all[i].Ended(id))
	}
	if len(events) == 0 {
		return 0, nil
	}
	return e.log.complete(ctx, id, events)
}

// endsPatience is how long a claim waits for what is told already, or on its way.
const endsPatience = time.Second

// farewell is the ends that a claim has to tell.
type farewell struct {
	ends []session.Past
	look bool   // somebody else may have told them
	paid func() // is called when they are told
}

// takeOver decides which ends a claim after prev lists, those that may not be told
// yet, and which of them it tells. Of its own connections a node knows what it has
// told, and what is on its way.
func (s *SessionStore) takeOver(ctx context.Context, prev session.Session, claimed *session.Session) (farewell, error) {
	claimed.Ends = slices.DeleteFunc(claimed.Ends, func(p session.Past) bool {
		return claimed.ConnectedTime.Sub(p.DisconnectedTime) > s.ends.known
	})
	displaced := func(p session.Past) bool { return prev.Connected && p.Epoch == prev.Epoch }
	own := prev.Node == claimed.Node && prev.Instance == claimed.Instance && prev.RepairedBy == ""
	var err error
	if own {
		err = s.awaitMost(ctx, claimed, displaced)
	} else {
		err = s.tellMost(ctx, claimed)
	}
	if err != nil {
		return farewell{}, err
	}
	if prev.Connected && len(claimed.Ends) > 0 {
		s.explain(&claimed.Ends[len(claimed.Ends)-1])
	}
	f := farewell{ends: slices.Clone(claimed.Ends), look: !own && (len(claimed.Ends) > 1 || !prev.Connected)}
	if own {
		f.ends = slices.DeleteFunc(f.ends, func(p session.Past) bool { return !displaced(p) })
	}
	return f, nil
}

// awaitMost drops what this node has told, but for a connection that is displaced,
// and waits until no more than the claim may list are on their way.
func (s *SessionStore) awaitMost(ctx context.Context, claimed *session.Session, displaced func(session.Past) bool) error {
	told := func(p session.Past) bool {
		return !displaced(p) && !s.ends.events.owes(ending{claimed.ID, p.Epoch})
	}
	most := func() bool {
		claimed.Ends = slices.DeleteFunc(claimed.Ends, told)
		return len(claimed.Ends) <= session.MaxEnds
	}
	if most() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, endsPatience)
	defer cancel()
	for !most() {
		if !wait(ctx, retryPause) {
			return hub.Errorf(hub.ServiceUnavailable, "%d connections of %s have ended, which is not told yet", len(claimed.Ends), claimed.ID)
		}
	}
	return nil
}

// tellMost sees to it that all but the last are told when they are more than the
// claim may list.
func (s *SessionStore) tellMost(ctx context.Context, claimed *session.Session) error {
	before := len(claimed.Ends) - 1
	if before < session.MaxEnds {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, endsPatience)
	defer cancel()
	if _, err := s.ends.complete(ctx, claimed.ID, claimed.Ends[:before]); err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "%d connections of %s have ended, and nobody can tell it now: %w", before, claimed.ID, err)
	}
	claimed.Ends = claimed.Ends[before:]
	return nil
}

// tellEnds tells the ends that a claim of id has to see to, before its beginning is
// told.
func (s *SessionStore) tellEnds(ctx context.Context, id hub.Identity, f farewell) {
	if !f.look {
		for _, p := range f.ends {
			s.ends.events.Connection(p.Ended(id))
		}
		f.paid()
		return
	}
	tell := func(ctx context.Context) error {
		_, err := s.ends.complete(ctx, id, f.ends)
		if err == nil {
			f.paid()
		}
		return err
	}
	soon, cancel := context.WithTimeout(ctx, endsPatience)
	defer cancel()
	if tell(soon) != nil {
		s.debts.add("the end of a connection", tell)
	}
}

// explain adds how the connection before a claim ended, if this node has seen that
// and could not store it before the claim.
func (s *SessionStore) explain(past *session.Past) {
	if v, known := s.late.Load(past.Connection); known {
		end, _ := v.(session.Session)
		past.DisconnectedTime, past.Reason, past.Code = end.DisconnectedTime, end.Reason, end.Code
	}
}

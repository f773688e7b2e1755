package backend

import (
	"context"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// lateWrites are sessions that an owner has written, or may have, who is not known to
// live: all that are connected, and of the others those that were seen to be written.
// The network may hold back a write for so long that it is stored when its node is
// dead, was repaired, and looked at again. Whoever lives and reads it repairs it. It is
// safe for concurrent use.
type lateWrites struct {
	mu  sync.Mutex
	all map[hub.Identity]lateWrite
}

// lateWrite is one of them.
type lateWrite struct {
	instance string
	since    time.Time // when this node has found that the instance is over; zero: it is not
}

// see takes the session of id, whether it was seen to be written, and how its owner
// stands.
func (s *lateWrites) see(id hub.Identity, v session.Session, fresh bool, owner standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	suspect := v.Connected || fresh && v.RepairedBy == ""
	if !suspect || v.Instance == "" || owner == instanceAlive {
		delete(s.all, id)
		return
	}
	if s.all == nil {
		s.all = map[hub.Identity]lateWrite{}
	}
	s.all[id] = lateWrite{instance: v.Instance}
}

// due takes out those whose instances have been over for a time: the record of a node
// that has just joined may come later than its first claims.
func (s *lateWrites) due(now time.Time, patience time.Duration, stands func(instance string) standing) (due []hub.Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, one := range s.all {
		switch owner := stands(one.instance); {
		case owner == instanceAlive:
			delete(s.all, id)
		case owner == instanceUnsettled:
			s.all[id] = lateWrite{instance: one.instance}
		case one.since.IsZero():
			s.all[id] = lateWrite{one.instance, now}
		case now.Sub(one.since) > patience:
			due = append(due, id)
			delete(s.all, id)
		}
	}
	if len(s.all) == 0 {
		s.all = nil // while everything was read it may have been large
	}
	return due
}

// notice takes the session of id, and whether it was seen to be written.
func (n *Nodes) notice(id hub.Identity, v session.Session, fresh bool) {
	n.lateWrites.see(id, v, fresh, n.census.stands(v.Instance))
}

// repairAllLate repairs what was stored late.
func (n *Nodes) repairAllLate(now time.Time) {
	for _, id := range n.lateWrites.due(now, n.timing.timeout, n.census.stands) {
		n.repair.sessions.debts.add("the repair of what was stored late", func(ctx context.Context) error { return n.repairLate(ctx, id) })
	}
}

// repairLate repairs the session of id if the instance that owns it is over.
func (n *Nodes) repairLate(ctx context.Context, id hub.Identity) error {
	v, err := n.repair.sessions.read(ctx, id)
	if err != nil || v.Instance == "" {
		return err
	}
	owner, _, err := n.look(ctx, v.Node)
	if err != nil {
		return err
	}
	switch knownOf(owner).stands(v.Instance) {
	case instanceAlive:
		return nil
	case instanceUnsettled:
		return errAgain // somebody repairs it
	case instanceOver:
	}
	var did tally
	if err := n.repair.session(ctx, deadNode{node: v.Node, instances: []string{v.Instance}}, v, &did); err != nil {
		return err
	}
	if did.sessions.Load() > 0 {
		n.log.Warn().Str("device_id", id.Device).Str("module_id", id.Module).Str("dead", v.Node).
			Msg("a claim of a dead node was stored late; it is ended")
	}
	return did.err
}

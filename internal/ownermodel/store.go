package ownermodel

// The promises about single writes.
const (
	staleWrite   = "a write of an older owner was stored after a newer claim"
	mendedWrite  = "a write of an owner was stored after its session was repaired"
	wrongRepair  = "a repair has ended a connection that it did not look at"
	lostSession  = "a subscription that was acknowledged is not in the session"
	liveRepair   = "a repair has ended a connection of a node that nobody holds for dead"
	willTwice    = "a will was sent twice"
	willOfOwner  = "a will was sent while its connection was the owner"
	willDisarmed = "a will was sent after DISCONNECT"
)

// put is JetStream: it stores a write that expects the revision that there is.
func (p Protocol) put(s *State, w *write) answer {
	if s.record.revision != w.expect && p.has(w.kind.guard()) {
		return conflict
	}
	s.judge(w)
	s.writes++
	w.value.revision = s.writes
	if w.kind == claim {
		w.value.epoch = s.writes
		s.epochs[w.link] = s.writes
	}
	s.record = w.value
	if s.acked&^s.record.subscriptions != 0 {
		s.broken = lostSession
	}
	return stored
}

// guard is the rule that makes a write a compare-and-set.
func (k kind) guard() Rule {
	switch k {
	case claim:
		return ClaimByRevision
	case save:
		return SaveByRevision
	case release:
		return ReleaseByRevision
	case repair:
		return RepairByRevision
	case nothing:
	}
	return ""
}

// judge sees whether a write that is about to be stored breaks a promise.
func (s *State) judge(w *write) {
	now := &s.record
	switch w.kind {
	case save, release:
		if now.epoch > w.value.epoch {
			s.broken = staleWrite
		} else if now.repaired {
			s.broken = mendedWrite
		}
	case repair:
		if now.epoch != w.value.epoch {
			s.broken = wrongRepair
		} else if s.counts(now.node) && s.nodes[now.node].instance == now.instance && s.nodes[now.node].alive {
			s.broken = liveRepair
		}
	case claim, nothing:
	}
}

// giveUp leaves a write alone: it may still reach the store. It reports whether
// there is room for one more of this kind.
func (s *State) giveUp(w *write) bool {
	if w.answer != none {
		*w = write{}
		return true
	}
	for i := range s.astray {
		if s.astray[i].kind == nothing {
			s.astray[i], *w = *w, write{}
			return true
		}
	}
	return false
}

// networkSteps is what becomes of stray writes.
func (p Protocol) networkSteps(s *State, emit func(Step, State)) {
	for i := range s.astray {
		if s.astray[i].kind == nothing {
			continue
		}
		number := uint8(i)
		next := *s
		p.put(&next, &next.astray[i])
		next.astray[i] = write{}
		emit(Step{strayTaken, number, 0}, next)
		if s.left.Copies > 0 {
			next := *s
			next.left.Copies--
			w := next.astray[i]
			p.put(&next, &w)
			emit(Step{strayCopied, number, 0}, next)
		}
	}
}

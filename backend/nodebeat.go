package backend

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hubgate/hubgate/backend/subject"
)

// beatLoop beats until ctx ends, and sooner again when a beat has failed.
func (n *Nodes) beatLoop(ctx context.Context) {
	pause := n.timing.beat
	for wait(ctx, pause) {
		err := n.beat(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			pause = n.timing.beat
		case pause == n.timing.beat:
			n.log.Warn().Err(err).Msg("this node can't tell the others that it lives; trying again")
			pause /= 4
		}
	}
}

// beat writes the record of this node once.
func (n *Nodes) beat(ctx context.Context) error {
	n.beating.Lock()
	defer n.beating.Unlock()
	report := n.member.Report()
	n.mu.Lock()
	n.record.NodeReport = report
	record, revision := n.record, n.revision
	n.mu.Unlock()
	value, err := n.encode(record)
	if err != nil {
		return err
	}
	from := time.Now()
	ctx, cancel := context.WithTimeout(ctx, n.timing.timeout/2)
	defer cancel()
	revision, err = n.bucket.put(ctx, subject.EncodeToken(n.node), value, revision)
	if isConflict(err) {
		return n.judge(ctx)
	}
	if err != nil {
		return err
	}
	n.stored(revision, from)
	return nil
}

func (n *Nodes) stored(revision uint64, from time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.revision, n.last = revision, from
	if n.known {
		return
	}
	n.known = true
	select {
	case n.again <- struct{}{}:
	default:
	}
}

// errUnheard means that a beat was stored, and that its answer was lost.
var errUnheard = errors.New("the answer to the last beat was lost")

// judge finds out why a beat has met another revision. n.beating is held.
func (n *Nodes) judge(ctx context.Context) error {
	found, revision, err := n.look(ctx, n.node)
	if err != nil {
		return err
	}
	n.mu.Lock()
	own, before, mayBeDead := n.record, n.before, n.known && n.isSilent()
	n.mu.Unlock()
	switch {
	case revision == 0 && mayBeDead:
		n.resurrect(NodeRecord{Instance: own.Instance, Earlier: own.Earlier, LastSeen: own.LastSeen}, 0)
		return errFenced()
	case revision == 0: // an operator has removed it
		n.mu.Lock()
		n.revision = 0
		n.mu.Unlock()
		return errors.New("the record of this node was removed")
	case found.Instance == own.Instance && found.State == NodeUp: // the answer to a beat was lost
		n.mu.Lock()
		n.revision = revision
		n.mu.Unlock()
		return errUnheard
	case found.Instance == own.Instance:
		n.resurrect(found, revision)
		return errFenced()
	case slices.Contains(before, found.Instance):
		n.mu.Lock()
		n.revision = revision
		n.mu.Unlock()
		return errOvertaken
	default:
		n.fence()
		err := errors.New("another process has taken the name of this node: give each node a name of its own (node, HUBGATE_NODE)")
		n.member.Usurped(err)
		return err
	}
}

// isSilent reports whether the last beat is so old that the others may take this node
// for dead, repair it and forget it. n.mu is held.
func (n *Nodes) isSilent() bool { return since(n.last) > n.timing.timeout }

// errOvertaken is why a beat fails when whoever repairs an earlier instance of this
// node has written meanwhile. The next one succeeds.
var errOvertaken = errors.New("who repairs an earlier run of this node has written its record meanwhile")

// resurrect lets a node that was taken for dead begin anew: first everything ends
// that it was, then it has another instance, and the next beat joins. n.beating
// is held.
func (n *Nodes) resurrect(found NodeRecord, revision uint64) {
	n.log.Warn().Str("by", found.Repairer).Time("last_seen", found.LastSeen).
		Msg("the other nodes took this one for dead, because it stood still or was cut off; its connections end, and it joins again")
	n.fence()
	n.member.Fenced()
	n.enter(NodeRecord{Earlier: appendNew(found.Earlier, found.Instance), LastSeen: found.LastSeen}, revision)
}

// fence lets nobody claim for this instance.
func (n *Nodes) fence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fenced = true
}

// repairSelf repairs what earlier instances of this node have left, at first and
// whenever it was taken for dead. The others know of this instance by then: if it died
// in the middle, they would repair both.
func (n *Nodes) repairSelf(ctx context.Context) {
	for try := 1; ctx.Err() == nil; try++ {
		n.mu.Lock()
		earlier, last, known := n.record.Earlier, n.record.LastSeen, n.known
		n.mu.Unlock()
		if len(earlier) == 0 || !known {
			try = 0
			select {
			case <-n.again:
			case <-ctx.Done():
			}
			continue
		}
		dead := deadNode{n.node, earlier, last}
		did, err := n.repair.run(ctx, dead)
		if err != nil {
			if ctx.Err() == nil {
				n.log.Warn().Err(err).Msg("what an earlier run of this node has left can't be repaired yet; trying again")
			}
			wait(ctx, backoff(try))
			continue
		}
		if did.Sessions+did.Events+did.Wills > 0 {
			n.log.Info().Int("sessions", did.Sessions).Int("events", did.Events).Int("wills", did.Wills).Dur("took", did.Took).
				Msg("what an earlier run of this node had left is repaired")
		}
		n.lookAgain(ctx, dead)
		if ctx.Err() != nil {
			return
		}
		n.mu.Lock()
		n.record.Earlier = slices.DeleteFunc(slices.Clone(n.record.Earlier), func(one string) bool { return slices.Contains(earlier, one) })
		n.mu.Unlock()
	}
}

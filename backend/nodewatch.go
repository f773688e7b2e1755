package backend

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
)

// sightings is what one node sees of the others. It judges by its own clock and
// by the revisions that it sees move; and of silence only what it has heard
// itself: a node whose own beats do not arrive is deaf, and others are not dead.
type sightings struct {
	timing nodeTiming
	node   string // who watches
	nodes  map[string]*sighting
	own    time.Time // when the last beat of this node arrived
	since  time.Time // from when on beats of this node have arrived without a gap
}

// sighting is one other node as it was last seen.
type sighting struct {
	record   NodeRecord
	revision uint64
	written  time.Time // by the server's clock
	moved    time.Time // when it was seen
}

func newSightings(node string, timing nodeTiming) *sightings {
	return &sightings{timing: timing, node: node, nodes: map[string]*sighting{}}
}

// deaf forgets how long others have been silent.
func (s *sightings) deaf(now time.Time) { s.own, s.since = time.Time{}, now }

// see takes an entry of the bucket.
func (s *sightings) see(e jetstream.KeyValueEntry, now time.Time) {
	name, err := subject.DecodeToken(e.Key())
	if err != nil {
		return
	}
	if name == s.node {
		if now.Sub(s.own) > s.gap() {
			s.since = now
		}
		s.own = now
		return
	}
	r, ok := parseNode(e.Value())
	if e.Operation() != jetstream.KeyValuePut || !ok {
		delete(s.nodes, name)
		return
	}
	s.nodes[name] = &sighting{record: r, revision: e.Revision(), written: e.Created(), moved: now}
}

// gap is how long this node's own beats may take to arrive.
func (s *sightings) gap() time.Duration { return s.timing.timeout / 2 }

// silent returns who has not moved for too long.
func (s *sightings) silent(now time.Time) []*sighting {
	if s.own.IsZero() || now.Sub(s.own) > s.gap() {
		return nil
	}
	var found []*sighting
	for _, n := range s.nodes {
		over := n.record.State == NodeStopped || n.record.State == NodeRepaired
		heard := n.moved
		if s.since.After(heard) {
			heard = s.since
		}
		if !over && now.Sub(heard) > s.timing.timeout {
			found = append(found, n)
		}
	}
	return found
}

// watch follows the bucket until ctx ends and takes the silent for dead.
func (n *Nodes) watch(ctx context.Context) {
	seen := newSightings(n.node, n.timing)
	entries := make(chan jetstream.KeyValueEntry)
	restarts := make(chan struct{})
	n.wg.Go(func() { n.follow(ctx, entries, restarts) })
	tick := time.NewTicker(n.timing.beat / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-restarts:
			seen.deaf(time.Now())
			n.census.forget()
		case e := <-entries:
			if e == nil {
				n.census.complete()
				continue
			}
			seen.see(e, time.Now())
			n.census.note(e)
		case <-tick.C:
			for _, s := range seen.silent(time.Now()) {
				n.bury(ctx, *s)
				s.moved = time.Now() // else it is somebody else's by then
			}
			n.repairAllLate(time.Now())
		}
	}
}

// follow gives what is written to the bucket, and nil once that is all; it tells of
// each interruption.
func (n *Nodes) follow(ctx context.Context, entries chan<- jetstream.KeyValueEntry, restarts chan<- struct{}) {
	for try := 1; ctx.Err() == nil; try++ {
		_, err := n.bucket.follow(ctx, 0, func(e jetstream.KeyValueEntry) {
			if e == nil {
				try = 0
			}
			select {
			case entries <- e:
			case <-ctx.Done():
			}
		})
		if err != nil {
			n.log.Debug().Err(err).Msg("watching the nodes is interrupted")
			wait(ctx, backoff(try))
		}
		select {
		case restarts <- struct{}{}:
		case <-ctx.Done():
		}
	}
}

// bury takes a node for dead, if it is still as it was seen, and repairs what it
// has left.
func (n *Nodes) bury(ctx context.Context, s sighting) {
	r := s.record
	if r.State == NodeUp {
		r.LastSeen = s.written
		r.Died = time.Now().UTC()
	}
	r.State, r.Repairer = NodeDead, n.node
	revision, err := n.put(ctx, r, s.revision, 0)
	if err != nil {
		if !isConflict(err) {
			n.log.Warn().Err(err).Str("dead", r.Node).Msg("a node is silent, and can't be declared dead yet")
		}
		return // it lives, or another node is faster
	}
	n.log.Warn().Str("dead", r.Node).Time("last_seen", r.LastSeen).Dur("timeout", n.timing.timeout).
		Msg("a node gives no sign of life; its connections are ended in its place")
	n.wg.Go(func() { n.repairOther(ctx, r, revision) })
}

// repairOther repairs a dead node, and says all the while that it does.
func (n *Nodes) repairOther(ctx context.Context, r NodeRecord, revision uint64) {
	working, stop := context.WithCancel(ctx)
	defer stop()
	beats := make(chan uint64)
	go func() { beats <- n.keepDead(working, r, revision) }()
	var did Repaired
	dead := deadNode{r.Node, appendNew(r.Earlier, r.Instance), r.LastSeen}
	for try := 1; ; try++ {
		var err error
		did, err = n.repair.run(ctx, dead)
		if err == nil {
			break
		}
		n.log.Warn().Err(err).Str("dead", r.Node).Msg("the repair of a dead node is interrupted; trying again")
		if !wait(ctx, backoff(try)) {
			break
		}
	}
	stop()
	revision = <-beats
	if ctx.Err() != nil {
		return
	}
	n.log.Info().Str("dead", r.Node).Int("sessions", did.Sessions).Int("events", did.Events).Int("wills", did.Wills).Dur("took", did.Took).
		Msg("what a dead node has left is repaired")
	r.State, r.Earlier, r.Repaired = NodeRepaired, nil, &did
	if _, err := n.put(ctx, r, revision, repairedAge); err != nil && !isConflict(err) {
		n.log.Warn().Err(err).Str("dead", r.Node).Msg("the end of a repair could not be noted; it is done once more")
	}
	n.lookAgain(ctx, dead)
}

// lookAgain repairs what was stored after a repair: a claim may have been on its
// way when its node died, and that node will never hear of it.
func (n *Nodes) lookAgain(ctx context.Context, dead deadNode) {
	for try := 1; wait(ctx, n.timing.late()); try++ {
		did, err := n.repair.run(ctx, dead)
		if err == nil {
			if did.Sessions > 0 {
				n.log.Warn().Str("dead", dead.node).Int("sessions", did.Sessions).Msg("claims of a dead node were stored late; they are ended too")
			}
			return
		}
		n.log.Warn().Err(err).Str("dead", dead.node).Int("attempt", try).Msg("what a dead node may have written late can't be looked for yet; trying again")
	}
}

// keepDead writes the record of a dead node again and again, so that nobody else
// begins the same repair, and returns its last revision.
func (n *Nodes) keepDead(ctx context.Context, r NodeRecord, revision uint64) uint64 {
	for wait(ctx, n.timing.beat) {
		next, err := n.put(ctx, r, revision, 0)
		if isConflict(err) {
			return revision // the node is back, or somebody else repairs too: no harm
		}
		if err == nil {
			revision = next
		}
	}
	return revision
}

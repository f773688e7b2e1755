//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// step is one fault of a schedule.
type step struct {
	kind   string
	target int           // a node or a server, where the kind has one
	lasts  time.Duration // until it is mended, where that is not at once
	rest   time.Duration // before it
	jump   time.Duration // of a clock
	also   string        // another fault in the middle of it; empty: none
}

func (s step) String() string {
	text := fmt.Sprintf("%s, target %d, for %v", s.kind, s.target, s.lasts)
	if s.jump != 0 {
		text += fmt.Sprintf(", by %v", s.jump)
	}
	if s.also != "" {
		text += ", and " + s.also
	}
	return text
}

// Kinds of faults.
const (
	natsLeaders     = "NATS leaders step down"
	natsKilled      = "NATS server killed"
	natsPaused      = "NATS server paused"
	natsAllLost     = "all NATS servers lost"
	natsRolling     = "NATS rolling restart"
	natsPartition   = "NATS server cut off from the others"
	natsSlowLinks   = "slow links between NATS servers"
	diskSlow        = "slow disk"
	diskFull        = "full disk"
	nodeKilled      = "gateway killed"
	nodePaused      = "gateway paused"
	nodePartition   = "gateway cut off from NATS"
	nodeHalfCut     = "gateway cut off from one NATS server"
	nodesRolling    = "gateways rolling restart"
	balancerCut     = "balancer resets all"
	restartedInDark = "gateway restarted while NATS has no quorum"
	clockOfNode     = "clock of a gateway jumps"
	clockOfNATS     = "clock of a NATS server jumps"
)

// kinds are all faults.
func kinds() []string { return append(shortKinds(), clockOfNode, clockOfNATS) }

// shortKinds are those of the short schedule, in its order.
func shortKinds() []string {
	return []string{
		natsLeaders, nodeKilled, balancerCut, natsKilled, nodePaused, nodePartition, nodeHalfCut, natsPartition, natsSlowLinks,
		natsPaused, diskSlow, diskFull, natsAllLost, restartedInDark, nodesRolling, natsRolling,
	}
}

// newStep draws what a fault of some kind is like.
func newStep(source *rand.Rand, kind string) step {
	between := func(from, to time.Duration) time.Duration {
		return (from + time.Duration(source.Int64N(int64(to-from)))).Round(10 * time.Millisecond)
	}
	s := step{kind: kind, target: source.IntN(size), rest: between(500*time.Millisecond, 3*time.Second)}
	switch kind {
	case natsLeaders, balancerCut, nodesRolling, natsRolling:
	case natsKilled, nodeKilled, natsAllLost, restartedInDark:
		s.lasts = between(time.Second, 6*time.Second)
	case nodePartition, nodePaused:
		s.lasts = between(5*time.Second, 20*time.Second) // shorter and longer than devices wait
	default:
		s.lasts = between(4*time.Second, 12*time.Second)
	}
	if kind == clockOfNode || kind == clockOfNATS {
		s.jump = between(10*time.Minute, 90*time.Minute).Round(time.Second)
		if source.IntN(2) == 0 {
			s.jump = -s.jump
		}
	}
	if kind == diskSlow || kind == diskFull {
		s.target = size - 1
	}
	return s
}

// shortSchedule is one fault of each kind.
func shortSchedule(seed uint64) []step {
	source := rand.New(rand.NewPCG(seed, 0))
	var all []step
	for _, kind := range shortKinds() {
		all = append(all, newStep(source, kind))
	}
	return all
}

// longSchedule is rounds of all kinds, each in an order of its own, and some with
// another fault in their midst. It is longer
// than any run; the time ends that.
func longSchedule(seed uint64) []step {
	const rounds = 1000
	source := rand.New(rand.NewPCG(seed, 1))
	var all []step
	for range rounds {
		order := kinds()
		source.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, kind := range order {
			s := newStep(source, kind)
			if source.IntN(3) == 0 {
				s.also = []string{natsLeaders, balancerCut}[source.IntN(2)]
			}
			all = append(all, s)
		}
	}
	return all
}

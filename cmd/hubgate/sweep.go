package main

import (
	"context"
	"runtime"
	"runtime/metrics"
	"time"
)

// How a process that has one processor looks after its network while it sweeps.
const (
	// sweepLook is how often a busy node looks whether a collection that is due has
	// ended, and sweepTurn how long its network may stay unasked while the sweeper runs.
	sweepLook = 2 * time.Millisecond
	sweepTurn = 100 * time.Microsecond
	// sweepNear is how near to its goal the heap is, in parts of the goal, when a
	// collection is due, and sweepLeft the part of the garbage that does not matter any
	// more: what the runtime says of its heap may lack what each processor's caches hold.
	sweepNear = 16
	sweepLeft = 8
	// sweepLeast is the garbage that is worth the trouble, a millisecond or two, and
	// sweepRate how many bytes a second are swept at least.
	sweepLeast = 16 << 20
	sweepRate  = 1 << 30
)

// sweepTurns has the runtime ask the network while it sweeps what a collection found.
// The sweeper yields to whoever can run, but can always run itself, and the runtime asks
// the network only when nobody can: with one processor that leaves packets in their
// sockets until its monitor asks, after 10 ms. Starting the world asks as well. With
// several processors another one asks.
type sweepTurns struct {
	samples []metrics.Sample
	cycles  uint64    // of collections, at the last look
	swept   uint64    // what sweepFrees says when their garbage is swept
	until   time.Time // when it is swept by all means
}

// The samples of sweepTurns.
const (
	sweepCycles = iota
	sweepObjects
	sweepLive
	sweepFrees
	sweepGoal
)

func newSweepTurns() *sweepTurns {
	return &sweepTurns{samples: []metrics.Sample{
		sweepCycles:  {Name: "/gc/cycles/total:gc-cycles"},
		sweepObjects: {Name: "/memory/classes/heap/objects:bytes"},
		sweepLive:    {Name: "/gc/heap/live:bytes"},
		sweepFrees:   {Name: "/gc/heap/frees:bytes"},
		sweepGoal:    {Name: "/gc/heap/goal:bytes"},
	}}
}

// follow looks after the network for so long, or until ctx ends, while the process
// allocates so many bytes a second.
func (s *sweepTurns) follow(ctx context.Context, rate uint64, long time.Duration) {
	for end := time.Now().Add(long); ; {
		pause := s.look(rate)
		left := time.Until(end)
		if left <= 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(left, pause)):
		}
	}
}

// look has the network asked if the process sweeps, and says when to look again.
func (s *sweepTurns) look(rate uint64) time.Duration {
	metrics.Read(s.samples)
	if cycles := s.at(sweepCycles); cycles != s.cycles {
		s.cycles = cycles
		s.begin()
	}
	if s.at(sweepFrees) >= s.swept || time.Now().After(s.until) {
		return max(sweepLook, s.due(rate))
	}
	runtime.Stack(nil, true) // stops the world, has nothing to write, and starts it
	return sweepTurn
}

// begin notes what is to be swept after a collection.
func (s *sweepTurns) begin() {
	garbage := s.at(sweepObjects) - min(s.at(sweepObjects), s.at(sweepLive))
	s.swept = 0
	if garbage >= sweepLeast {
		s.swept = s.at(sweepFrees) + garbage - garbage/sweepLeft
		s.until = time.Now().Add(time.Duration(float64(garbage) / sweepRate * float64(time.Second)))
	}
}

// due is in how much time the next collection is due: at most a second, and not
// positive if it is.
func (s *sweepTurns) due(rate uint64) time.Duration {
	near := s.at(sweepGoal) - s.at(sweepGoal)/sweepNear
	room := float64(near) - float64(s.at(sweepObjects))
	return time.Duration(min(room/float64(max(rate, 1)), 1) * float64(time.Second))
}

func (s *sweepTurns) at(sample int) uint64 { return s.samples[sample].Value.Uint64() }

package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// The heap of a node that has much to do.
const (
	// collectEvery is how much time a busy node lets pass between two collections of
	// its garbage, as long as the heap stays below busyHeap and below one busyShare of
	// the memory that this process may use. On one core a collection takes some 40 ms,
	// in which messages wait for up to 3: so it has to be less than a hundredth of the
	// time for the 99th percentile not to see it. A node at its limit allocates some
	// 220 MB a second, and has one each 4.5 seconds then.
	collectEvery = 8 * time.Second
	busyHeap     = 1 << 30
	busyShare    = 8
	// busyRate is how many bytes a second a busy node allocates at least: some two
	// thousand messages, or ten handshakes.
	busyRate = 4 << 20
	// heapEvery is how often the node looks, and heapQuiet for how many looks it has
	// little to do before what piled up is given back.
	heapEvery = 250 * time.Millisecond
	heapQuiet = 4
	// growing is by which part there are more connections than at the look before when
	// the node keeps much of what it allocates.
	growing = 64
	// calming and steady keep the pace from changing with each look, as a lower one may
	// begin a collection: the rate falls by one calming of it a look at most, and the
	// percentage changes if it would by more than one steady of it.
	calming = 4
	steady  = 4

	standardPercent = 100 // GOGC's default
)

// heapPace has a busy node collect its garbage less often, and a quiet one give the
// memory back. GOMEMLIMIT holds in any case, and who sets GOGC has his way.
type heapPace struct {
	busy    uint64     // bytes that the heap of a busy node may have
	rate    uint64     // bytes that were allocated between two looks, of late
	percent int        // of debug.SetGCPercent
	count   func() int // of connections
	owes    bool       // something may have piled up that was not given back
	quiet   int        // looks since the node had much to do
	before  heapState
	samples []metrics.Sample
}

// heapState is what the heap is like at one look.
type heapState struct {
	allocated   uint64 // bytes, since the start
	live        uint64 // bytes, after the last collection
	connections int
}

// newHeapPace is for a process that may use so many bytes of memory, and has so many
// connections.
func newHeapPace(memory uint64, count func() int) *heapPace {
	return &heapPace{count: count, busy: min(busyHeap, memory/busyShare), percent: standardPercent, samples: []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
	}}
}

// usableMemory is how many bytes this process may use: what its control group lets
// it have, else the machine's memory; 0 if nobody knows.
func usableMemory() uint64 {
	n, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		return 0
	}
	return n
}

// run looks until ctx ends.
func (p *heapPace) run(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(heapEvery)
	defer tick.Stop()
	defer debug.SetGCPercent(standardPercent)
	turns := newSweepTurns()
	for {
		if p.quiet == 0 && runtime.GOMAXPROCS(0) == 1 {
			turns.follow(ctx, p.rate*uint64(time.Second/heapEvery), heapEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(p.samples)
		percent, release := p.look(heapState{p.samples[0].Value.Uint64(), p.samples[1].Value.Uint64(), p.count()})
		if percent != p.percent {
			p.percent = percent
			debug.SetGCPercent(percent)
		}
		if release {
			// Each collection halves the stacks that are too large, and the second
			// one empties the pools.
			runtime.GC()
			runtime.GC()
			debug.FreeOSMemory()
		}
	}
}

// look says at which growth of the heap to collect, and whether to give memory back
// now. While connections come it is collected as usual: what they keep lies close
// together then, with little between that can't be given back.
func (p *heapPace) look(now heapState) (percent int, release bool) {
	before := p.before
	p.before = now
	grown := now.allocated - before.allocated
	p.rate = max(grown, p.rate-p.rate/calming)
	if grown >= uint64(busyRate*heapEvery/time.Second) {
		p.quiet = 0
		p.owes = now.live < p.busy
		if now.connections > before.connections+before.connections/growing {
			return standardPercent, false
		}
		return p.percentFor(now.live), false
	}
	if p.quiet++; p.quiet < heapQuiet {
		return p.percent, false
	}
	release, p.owes = p.owes, false
	return standardPercent, release
}

// percentFor is the growth, in per cent of what is live, that has the next collection
// come after collectEvery, if the heap may become as large.
func (p *heapPace) percentFor(live uint64) int {
	live = max(live, 4<<20)
	if 2*live >= p.busy {
		return standardPercent
	}
	room := min(p.rate*uint64(collectEvery/heapEvery), p.busy-live)
	percent := max(standardPercent, int(room*100/live)) //nolint:gosec // at most 25,600
	if change := percent - p.percent; max(change, -change) <= p.percent/steady {
		return p.percent
	}
	return percent
}

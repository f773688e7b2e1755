package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"
)

// asSweeper has TestSweepTurns run in the process that it has started, with one
// processor.
const asSweeper = "HUBGATE_TEST_AS_SWEEPER"

// TestSweepTurns counts how often a message goes to and fro between two goroutines, by
// the network's poller, while the process sweeps.
func TestSweepTurns(t *testing.T) {
	t.Parallel()
	if os.Getenv(asSweeper) == "1" {
		sweeping(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestSweepTurns$", "-test.count=1")
	cmd.Env = append(environment("GOMAXPROCS=1"), asSweeper+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// sweeping makes much garbage, waits for its collection, and follows the sweep.
func sweeping(t *testing.T) {
	const garbage, size = 512 << 20, 512
	var trips atomic.Int64
	toAndFro(t, &trips)
	s := newSweepTurns()
	metrics.Read(s.samples)
	s.cycles = s.at(sweepCycles)

	debug.SetGCPercent(-1)
	for range garbage / size {
		waste = make([]byte, size)
	}
	debug.SetGCPercent(standardPercent)
	for s.at(sweepCycles) == s.cycles {
		waste = make([]byte, size)
		runtime.Gosched()
		metrics.Read(s.samples)
	}
	if unswept := s.at(sweepObjects); unswept < garbage/2 {
		t.Fatalf("%d bytes are not swept yet, want half of the garbage at least", unswept)
	}
	before := trips.Load()
	s.cycles = s.at(sweepCycles)
	s.begin()
	s.until = time.Now().Add(time.Minute) // however slow the machine is
	for s.look(busyRate) == sweepTurn {
		<-time.After(sweepTurn)
	}
	// 10 ms pass between two looks of the runtime's monitor, and a sweep takes some 40.
	if n := trips.Load() - before; n < 30 {
		t.Errorf("%d trips while the process swept, want 30 at least", n)
	}
	if unswept := s.at(sweepObjects); unswept > garbage/4 {
		t.Errorf("%d bytes are not swept yet", unswept)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.follow(ctx, 1, time.Hour)
}

// waste keeps the compiler from leaving garbage out.
var waste []byte

// toAndFro has a byte go to and fro for as long as the process lives, and counts.
func toAndFro(t *testing.T, trips *atomic.Int64) {
	t.Helper()
	there, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	here, back, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pass := func(from, to *os.File) {
		b := make([]byte, 1)
		for {
			if _, err := from.Read(b); err != nil {
				return
			}
			if _, err := to.Write(b); err != nil {
				return
			}
			trips.Add(1)
		}
	}
	go pass(there, back)
	go pass(here, to)
	if _, err := to.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
}

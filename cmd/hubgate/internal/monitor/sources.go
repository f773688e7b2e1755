package monitor

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/tracing"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/iothub"
	"github.com/hubgate/hubgate/gateway/rest"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/meter"
	"github.com/hubgate/hubgate/twin"
)

// Sources is where the numbers come from. All fields are set.
type Sources struct {
	Build Build

	Gateway  func() gateway.Stats
	Face     func() iothub.Stats
	Throttle func() gateway.Throttling
	Backend  func() backend.Stats
	Timeline func() (byCode map[hub.Code]uint64, dropped uint64)
	Twins    *Twins
	Traces   func() tracing.Stats
	Web      func() Web

	Ready    func(ctx context.Context) map[string]bool // checks by name
	Draining func() bool
	// Endings are the certificates; FreeBytes what the disk has left, below 0: not
	// known.
	Endings   func() []Ending
	FreeBytes func() int64
	// Sample is what was last heard of NATS; nil: nothing lately.
	Sample func() *backend.Sample

	Jobs           func() (active, open int)
	Configurations func() int
}

// Build is what the program was built from, and what the node is called.
type Build struct{ Version, Commit, Go, Node, Hub string }

// Web is the state of the service REST API.
type Web struct {
	Routes         []rest.RouteStats
	InFlight, Most int
}

// Ending is something that ends.
type Ending struct {
	Kind, Name string
	Ends       time.Time
}

// Twins counts what back ends do with twins.
type Twins struct{ read, update, replace meter.Operation }

// Observe is for [twin.Twins].Observed.
func (t *Twins) Observe(op twin.Operation, began time.Time, err error) {
	switch op {
	case twin.Read:
		t.read.Done(began, err)
	case twin.Updated:
		t.update.Done(began, err)
	case twin.Replaced:
		t.replace.Done(began, err)
	}
}

const (
	sampleEvery = 15 * time.Second
	sampleTime  = 10 * time.Second
	sampleFresh = time.Minute
)

// Sampler asks NATS now and then. It is safe for concurrent use.
type Sampler struct {
	// Ask asks; what it returns with an error is used too, as far as it goes.
	Ask func(ctx context.Context) (backend.Sample, error)

	last atomic.Pointer[backend.Sample]
}

// Run asks until ctx ends.
func (s *Sampler) Run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		s.ask(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Sampler) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	sample, err := s.Ask(ctx)
	if err == nil || len(sample.Streams) > 0 {
		s.last.Store(&sample)
	}
}

// Last returns what was heard last, nil if that is too long ago.
func (s *Sampler) Last() *backend.Sample {
	if last := s.last.Load(); last != nil && time.Since(last.At) < sampleFresh {
		return last
	}
	return nil
}

package backend

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/meter"
)

// Stats is what the backbone of a node has done so far, and how it is now. It
// asks nobody: what only NATS knows is in [Sample].
type Stats struct {
	Telemetry, Events EngineStats
	EventQueue        int    // events that wait for the engine
	EventsDropped     uint64 // events that found the queue full

	Syncs meter.Durations // of the disk, each for all that waited; none without Sync of the configuration

	Connections []ConnectionStats
	Requests    []RequestStats
	Feeds       []FeedStats

	C2DSettled   map[c2d.Status]uint64
	C2DCompleted meter.Durations // from the queue to the device's acknowledgement

	Nodes           map[NodeCycle]int // of the hub, by what is written of them
	Indexed, Online int64             // devices of the hub, and those of them that are connected, as the index has them
}

// EngineStats is the state of an [Engine].
type EngineStats struct {
	Stored, Retried, Failed uint64
	InFlight, MaxInFlight   int
	Bytes, MaxBytes         int64 // of what is in flight
	Waiting                 bool  // somebody waits for a place in the window
	Flowing                 bool
	Took                    meter.Durations // from Store to the acknowledgement
}

// ConnectionStats is the state of a connection to NATS.
type ConnectionStats struct {
	Role       string // main, index, telemetry or events
	Connected  bool
	Reconnects uint64
}

// RequestStats is what was asked of a NATS service of this node.
type RequestStats struct {
	Service, Operation string
	Counts             meter.Operated
}

// FeedStats is how far the index has followed a bucket.
type FeedStats struct {
	Bucket   string
	Applied  uint64 // revision up to which everything is in the index
	Complete bool   // all that was there is in it
}

// Stats returns the numbers as they are.
func (b *Backbone) Stats() Stats {
	all := Stats{
		Telemetry: b.telemetry.Stats(), Events: b.events.engine.Stats(),
		Syncs: b.commits.durations(), EventQueue: len(b.events.queue), EventsDropped: b.events.dropped.Load(),
		Connections: []ConnectionStats{
			connectionStats("main", b.nc), connectionStats("index", b.fleet.nc),
			b.telemetry.connection("telemetry"), b.events.engine.connection("events"),
		},
		Requests: b.requests.stats(), C2DSettled: b.settled.stats(), C2DCompleted: b.settled.took.Durations(),
		Nodes:   b.nodes.census.counts(),
		Indexed: b.fleet.catalog.all.Load(), Online: b.fleet.catalog.connected.Load(),
	}
	for _, f := range b.fleet.feeds {
		f.mu.Lock()
		all.Feeds = append(all.Feeds, FeedStats{Bucket: f.bucket.name, Applied: f.applied, Complete: f.ready})
		f.mu.Unlock()
	}
	return all
}

func connectionStats(role string, nc *nats.Conn) ConnectionStats {
	return ConnectionStats{Role: role, Connected: nc.IsConnected(), Reconnects: nc.Stats().Reconnects}
}

// Stats returns the state of the engine.
func (e *Engine) Stats() EngineStats {
	flowing := e.Flowing()
	e.mu.Lock()
	defer e.mu.Unlock()
	return EngineStats{
		Stored: e.stored.Load(), Retried: e.retried.Load(), Failed: e.failed.Load(),
		InFlight: e.win.used() + e.win.held, MaxInFlight: e.win.max, Bytes: e.win.bytes, MaxBytes: e.win.maxBytes,
		Waiting: e.win.waiting.first != nil, Flowing: flowing, Took: e.took.Durations(),
	}
}

func (e *Engine) connection(role string) ConnectionStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return ConnectionStats{Role: role, Connected: e.link != nil, Reconnects: e.reconnects.Load()}
}

// requests counts what is asked of the services of a node. Their operations are
// few, and known when the services are registered.
type requests struct {
	mu  sync.Mutex
	all map[requestKey]*meter.Operation
}

type requestKey struct{ service, operation string }

// of returns where the requests for an operation are counted.
func (r *requests) of(service, operation string) *meter.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[requestKey]*meter.Operation{}
	}
	k := requestKey{service, operation}
	if r.all[k] == nil {
		r.all[k] = new(meter.Operation)
	}
	return r.all[k]
}

func (r *requests) stats() []RequestStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []RequestStats
	for k, o := range r.all {
		all = append(all, RequestStats{k.service, k.operation, o.Counts()})
	}
	slices.SortFunc(all, func(a, b RequestStats) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Operation, b.Operation))
	})
	return all
}

// settlements counts what became of cloud-to-device messages.
type settlements struct {
	mu   sync.Mutex
	by   map[c2d.Status]uint64
	took meter.Histogram
}

// add is for [c2d.Queues].Settled.
func (s *settlements) add(m c2d.Message, how c2d.Status) {
	if how == c2d.Success {
		s.took.Observe(time.Since(m.Enqueued))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[c2d.Status]uint64{}
	}
	s.by[how]++
}

// stats has every status, those too that have not come up.
func (s *settlements) stats() map[c2d.Status]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[c2d.Status]uint64{}
	for _, how := range []c2d.Status{c2d.Success, c2d.Expired, c2d.DeliveryCountExceeded, c2d.Rejected, c2d.Purged} {
		all[how] = s.by[how]
	}
	return all
}

package backend

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/telemetry"
)

// Shards stores messages of devices, those of one device in one of several
// streams. Each stream has an [Engine] with a connection of its own: a stream that
// does not take messages holds up its own devices and no others. It is a
// [telemetry.Sink] and safe for concurrent use.
//
// Which stream takes a subject never changes: a shard has its subjects for ever,
// and the number of shards only says into how many of them a node writes. So nodes
// with different numbers can run at the same time, and what was stored stays where
// it is until its time is over.
type Shards struct{ engines []*Engine }

var _ telemetry.Sink = (*Shards)(nil)

// What each shard may have in flight at least.
const (
	minShardMessages = 256
	minShardBytes    = 4 << 20
)

// newShards starts the engines of all shards, which share what may be in flight,
// and whose answers wait for c.
func newShards(cfg Config, c *commits, connect linker) (*Shards, error) {
	n := max(cfg.Shards, 1)
	if n > 1 {
		cfg.MaxInFlight = max(cfg.MaxInFlight/n, minShardMessages)
		cfg.MaxInFlightBytes = max(cfg.MaxInFlightBytes/int64(n), minShardBytes)
	}
	s := &Shards{}
	for shard := range n {
		e, err := newEngine(cfg, cfg.names().TelemetryShard(shard), c, connect)
		if err != nil {
			over, cancel := context.WithCancel(context.Background())
			cancel() // nothing is in flight
			s.Close(over)
			return nil, err
		}
		e.shard = shard
		s.engines = append(s.engines, e)
	}
	return s, nil
}

// Store implements [telemetry.Sink]; see [Engine.Store].
func (s *Shards) Store(m *telemetry.Message, done telemetry.Receipt, tag uint64) {
	s.engines[subject.Shard(m.From.Device, len(s.engines))].Store(m, done, tag)
}

// alone calls f, which writes into the first stream, while no message waits there
// for the acknowledgement of another one.
func (s *Shards) alone(ctx context.Context, f func() error) error { return s.engines[0].alone(ctx, f) }

// Room is how many more messages of an identity may be in flight now.
func (s *Shards) Room(id hub.Identity) int {
	return s.engines[subject.Shard(id.Device, len(s.engines))].room()
}

// Stored is how many messages JetStream has acknowledged.
func (s *Shards) Stored() uint64 { return s.sum((*Engine).Stored) }

// Retried is how many publications were repetitions.
func (s *Shards) Retried() uint64 { return s.sum((*Engine).Retried) }

// Failed is how many messages were reported as not stored.
func (s *Shards) Failed() uint64 { return s.sum((*Engine).Failed) }

func (s *Shards) sum(of func(*Engine) uint64) uint64 {
	var n uint64
	for _, e := range s.engines {
		n += of(e)
	}
	return n
}

// InFlight is how many messages wait for their acknowledgement.
func (s *Shards) InFlight() int {
	n := 0
	for _, e := range s.engines {
		n += e.InFlight()
	}
	return n
}

// Flowing reports whether all streams take messages.
func (s *Shards) Flowing() bool {
	for _, e := range s.engines {
		if !e.Flowing() {
			return false
		}
	}
	return true
}

// trouble is why a stream does not take messages; nil: all do, or have nothing to.
func (s *Shards) trouble() error {
	for _, e := range s.engines {
		if err := e.trouble(); err != nil {
			return err
		}
	}
	return nil
}

// Stats returns the state of all engines as one.
func (s *Shards) Stats() EngineStats {
	all := s.engines[0].Stats()
	for _, e := range s.engines[1:] {
		one := e.Stats()
		all.Stored, all.Retried, all.Failed = all.Stored+one.Stored, all.Retried+one.Retried, all.Failed+one.Failed
		all.InFlight, all.MaxInFlight = all.InFlight+one.InFlight, all.MaxInFlight+one.MaxInFlight
		all.Bytes, all.MaxBytes = all.Bytes+one.Bytes, all.MaxBytes+one.MaxBytes
		all.Waiting, all.Flowing = all.Waiting || one.Waiting, all.Flowing && one.Flowing
		all.Took.Count, all.Took.Sum = all.Took.Count+one.Took.Count, all.Took.Sum+one.Took.Sum
		for upto, n := range one.Took.Upto {
			all.Took.Upto[upto] += n
		}
	}
	return all
}

// connection is the state of their connections as one: connected if all are.
func (s *Shards) connection(role string) ConnectionStats {
	all := ConnectionStats{Role: role, Connected: true}
	for _, e := range s.engines {
		one := e.connection(role)
		all.Connected, all.Reconnects = all.Connected && one.Connected, all.Reconnects+one.Reconnects
	}
	return all
}

// Close closes all engines; see [Engine.Close].
func (s *Shards) Close(ctx context.Context) {
	var g errgroup.Group
	for _, e := range s.engines {
		g.Go(func() error {
			e.Close(ctx)
			return nil
		})
	}
	_ = g.Wait() // none fails
}

// shard is the stream of one shard of telemetry. Its messages have the same
// subjects in it as those of all shards, whichever they were published on.
func (c Config) shard(shard int) asset {
	n := c.names()
	bytes := max(int64(defaultTelemetryBytes/max(c.Shards, 1)), minBytes)
	a := c.stream(n.TelemetryShard(shard), n.TelemetryAll(), c.Telemetry, bytes)
	a.want.Subjects = n.ShardSubjects(shard)
	if shard > 0 {
		a.want.SubjectTransform = &jetstream.SubjectTransformConfig{Source: a.want.Subjects[0], Destination: n.TelemetryAll()}
	}
	return a
}

// shardAssets are the streams of telemetry into which this node writes.
func (c Config) shardAssets() []asset {
	var all []asset
	for shard := range max(c.Shards, 1) {
		all = append(all, c.shard(shard))
	}
	return all
}

// keepRetired sees to the shards that are there and into which this node does not
// write: what they have is to be read as before, and others may still write it.
func (k keeper) keepRetired(ctx context.Context, c Config) error {
	names, err := shardsThere(ctx, k.js, k.names)
	if err != nil {
		return k.explain("list", asset{what: "the streams of telemetry"}, err)
	}
	version, compatible := k.layout()
	for _, name := range names {
		shard, _ := k.names.ShardOf(name)
		if shard < max(c.Shards, 1) {
			continue
		}
		a := c.shard(shard)
		a.want.Metadata = stamped(a.want.Metadata, version, compatible)
		s, err := k.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return k.explain("look up", a, err)
		}
		if err := k.reconcile(ctx, a, s.CachedInfo().Config); err != nil {
			return err
		}
	}
	return nil
}

// shardsThere lists the streams of telemetry that are there.
func shardsThere(ctx context.Context, js jetstream.JetStream, names subject.Names) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, assetTimeout)
	defer cancel()
	lister := js.StreamNames(ctx, jetstream.WithStreamListSubject(names.TelemetryAll()))
	var found []string
	for name := range lister.Name() {
		if _, ok := names.ShardOf(name); ok {
			found = append(found, name)
		}
	}
	return found, lister.Err()
}

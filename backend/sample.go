package backend

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// Sample is what only NATS knows of a hub. It costs a request for each stream.
type Sample struct {
	At      time.Time
	RTT     time.Duration // to the NATS server and back
	Streams []StreamState
	Behind  map[string]uint64 // revisions of a bucket that the index of this node has not seen
}

// StreamState is the state of a stream, or of the one behind a bucket.
type StreamState struct {
	Name            string
	Messages, Bytes uint64
	MaxBytes        int64 // that it may take; below 0: no limit
	Replicas        int   // that it should have
	Current         int   // of them, those that have everything, the leader included
	Lag             uint64
}

// Sample asks NATS. Streams that can't be told of are missing from what it
// returns with its error.
func (b *Backbone) Sample(ctx context.Context) (Sample, error) {
	s := Sample{At: time.Now(), Behind: map[string]uint64{}}
	if err := b.nc.FlushWithContext(ctx); err != nil {
		return s, hub.Errorf(hub.ServiceUnavailable, "ask NATS for a sign of life: %w", err)
	}
	s.RTT = time.Since(s.At)
	var errs []error
	last := map[string]uint64{}
	for _, a := range b.cfg.assets() {
		stream, err := b.js.Stream(ctx, a.want.Name)
		if err != nil {
			errs = append(errs, hub.Errorf(hub.ServiceUnavailable, "look up stream %s: %w", a.want.Name, err))
			continue
		}
		info := stream.CachedInfo()
		last[info.Config.Name] = info.State.LastSeq
		s.Streams = append(s.Streams, stateOfStream(info))
	}
	for _, f := range b.Stats().Feeds {
		if seq, known := last["KV_"+f.Bucket]; known {
			s.Behind[f.Bucket] = seq - min(seq, f.Applied)
		}
	}
	return s, errors.Join(errs...)
}

func stateOfStream(info *jetstream.StreamInfo) StreamState {
	s := StreamState{
		Name: info.Config.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes,
		Replicas: max(info.Config.Replicas, 1), Current: 1,
	}
	if info.Cluster == nil {
		return s
	}
	for _, r := range info.Cluster.Replicas {
		if r.Current && !r.Offline {
			s.Current++
		}
		s.Lag = max(s.Lag, r.Lag)
	}
	return s
}

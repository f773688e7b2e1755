package backend

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// empties are the streams that hold no message yet and have a size that nobody
// asked for. Some of what they reserve can be given to others.
type empties []empty

type empty struct {
	stream    string
	size, was int64 // bytes, now and before this start
}

// made keeps a stream that the hub has just made.
func (e *empties) made(a asset, usual int64) {
	if a.fixed.MaxBytes == 0 {
		*e = append(*e, empty{a.want.Name, a.want.MaxBytes, usual})
	}
}

// found keeps a stream that was there, if it is as a start has left it that did
// not come to its end. The stream of a newer node is not ours to change.
func (e *empties) found(k keeper, a asset, info *jetstream.StreamInfo) {
	known, _ := k.layout()
	version, _ := layoutOf(info.Config.Metadata)
	if size := info.Config.MaxBytes; version <= known && info.State.LastSeq == 0 && a.fixed.MaxBytes == 0 && size <= a.want.MaxBytes {
		*e = append(*e, empty{a.want.Name, size, size})
	}
}

// makeRoom halves the largest default: the one of a, which JetStream has refused
// with err, or of a stream that is empty. All stay useful that way, where each
// taking what it wants leaves nothing to the last. It reports whether there was
// one to halve.
func (k keeper) makeRoom(ctx context.Context, a *asset, others empties, err error) (bool, error) {
	largest, size := -1, int64(minBytes)
	if a.fixed.MaxBytes == 0 {
		size = max(size, a.want.MaxBytes)
	}
	if apiCode(err) != errMaxStreamBytes { // which is about this stream alone
		for i, o := range others {
			if o.size > size {
				largest, size = i, o.size
			}
		}
	}
	half := max(size/2, minBytes)
	switch {
	case size == minBytes:
		return false, nil
	case largest < 0:
		a.want.MaxBytes = half
		return true, nil
	}
	others[largest].size = half
	return true, k.resize(ctx, others[largest])
}

// resize gives a stream its size, if it is still empty.
func (k keeper) resize(ctx context.Context, e empty) error {
	s, err := k.js.Stream(ctx, e.stream)
	if err != nil {
		return err
	}
	next := s.CachedInfo().Config
	if s.CachedInfo().State.LastSeq > 0 {
		return nil
	}
	next.MaxBytes = e.size
	_, err = k.js.UpdateStream(ctx, next)
	return err
}

// tell says which streams have become smaller than they should be.
func (e empties) tell(k keeper) {
	for _, one := range e {
		if one.size < one.was {
			k.log.Warn().Str("stream", one.stream).Int64("max_bytes", one.size).Int64("usual", one.was).
				Msg("JetStream has no room for the usual sizes of all streams; this one is smaller")
		}
	}
}

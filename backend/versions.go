package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
)

// upgrade takes an asset from the version before to its own. The version is how
// this program lays out the streams and buckets of a hub, and what is in them. It
// is raised by a change that a node of an earlier version could not live with, or
// that existing assets need.
type upgrade struct {
	to int
	// compatible is the oldest version whose nodes may go on to use the asset.
	compatible int
	// change changes the configuration of an asset, which is written with the new
	// version in one step after it, and what is in the asset, if need be. It may be
	// done twice, also by two nodes at once, and may have been done by half before.
	change func(ctx context.Context, k keeper, a asset, next *jetstream.StreamConfig) error
}

// upgrades lists all of them, in their order.
func upgrades() []upgrade {
	return []upgrade{{to: 1, compatible: 1, change: makeRoomForShards}}
}

// makeRoomForShards takes from the stream of telemetry what its shards need: the
// subjects with more tokens than a device and a module have.
func makeRoomForShards(_ context.Context, k keeper, a asset, next *jetstream.StreamConfig) error {
	if a.want.Name == k.names.TelemetryStream() {
		all := k.names.TelemetryAll()
		next.Subjects = slices.DeleteFunc(slices.Clone(next.Subjects), func(s string) bool { return s == all })
	}
	return nil
}

// layoutOf reads the version of an asset and the oldest one that may use it. Assets
// from before there were versions have 0.
func layoutOf(metadata map[string]string) (version, compatible int) {
	version, _ = strconv.Atoi(metadata[subject.SchemaKey])
	compatible, err := strconv.Atoi(metadata[subject.CompatibleKey])
	if err != nil {
		compatible = version
	}
	return version, compatible
}

// stamped is metadata with a version.
func stamped(metadata map[string]string, version, compatible int) map[string]string {
	next := maps.Clone(metadata)
	if next == nil {
		next = map[string]string{}
	}
	next[subject.SchemaKey] = strconv.Itoa(version)
	next[subject.CompatibleKey] = strconv.Itoa(compatible)
	return next
}

// tooNew says that a node of a later version has laid out an asset in a way that
// this one does not know.
func (a asset) tooNew(metadata map[string]string, known int) error {
	version, compatible := layoutOf(metadata)
	if version <= known || compatible <= known {
		return nil
	}
	return fmt.Errorf("%s has version %d of its layout, and this program knows up to %d: a newer Hubgate has changed it; start that one here too (downgrading needs a backup from before)", a.what, version, known)
}

// upgrade takes the asset behind have to the version of this program, step by step.
func (k keeper) upgrade(ctx context.Context, a asset, have jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	version, _ := layoutOf(have.Metadata)
	for _, u := range k.upgrades {
		if u.to <= version {
			continue
		}
		next := have
		if err := u.change(ctx, k, a, &next); err != nil {
			return have, k.explain("upgrade", a, err)
		}
		for _, s := range a.want.Subjects { // never without one
			if !slices.Contains(next.Subjects, s) {
				next.Subjects = append(slices.Clone(next.Subjects), s)
			}
		}
		next.Metadata = stamped(have.Metadata, u.to, u.compatible)
		s, err := k.js.UpdateStream(ctx, next)
		if err != nil {
			return have, k.explain("upgrade", a, err)
		}
		k.log.Info().Str("stream", next.Name).Int("from", version).Int("to", u.to).Msg("the layout of a stream is upgraded")
		have, version = s.CachedInfo().Config, u.to
	}
	return have, nil
}

// layout is the version of this program, and the oldest one that may use what it
// makes.
func (k keeper) layout() (version, compatible int) {
	for _, u := range k.upgrades {
		version, compatible = u.to, u.compatible
	}
	return version, compatible
}

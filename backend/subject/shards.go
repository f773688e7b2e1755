package subject

import (
	"strconv"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// MaxShards is into how many streams telemetry can be divided.
const MaxShards = 64

func (n Names) shards() int { return max(n.Shards, 1) }

// TelemetryShard is the stream of a shard of telemetry: HUB_TELEMETRY for 0, and
// HUB_TELEMETRY_{shard} for the others.
func (n Names) TelemetryShard(shard int) string {
	if shard == 0 {
		return n.TelemetryStream()
	}
	return n.TelemetryStream() + "_" + strconv.Itoa(shard)
}

// ShardOf is the inverse of [Names.TelemetryShard]; false: it is no such stream.
func (n Names) ShardOf(stream string) (shard int, ok bool) {
	rest, ok := strings.CutPrefix(stream, n.TelemetryStream())
	if !ok || rest == "" {
		return 0, ok
	}
	shard, err := strconv.Atoi(strings.TrimPrefix(rest, "_"))
	return shard, err == nil && 0 < shard && shard < MaxShards && n.TelemetryShard(shard) == stream
}

// TelemetryShards lists the streams of telemetry.
func (n Names) TelemetryShards() []string {
	var all []string
	for shard := range n.shards() {
		all = append(all, n.TelemetryShard(shard))
	}
	return all
}

// ShardSubjects is what the stream of a shard takes. Shard 0 has what a device and
// a module have, hub.telemetry.* and hub.telemetry.*.*; the others have more tokens
// than that, hub.telemetry.shard.{shard}.>. So no message is of two streams, none
// is of no stream, and hub.telemetry.> is all of them.
func (n Names) ShardSubjects(shard int) []string {
	if shard == 0 {
		all := n.prefix() + ".telemetry.*"
		return []string{all, all + ".*"}
	}
	return []string{n.shardPrefix(shard) + ">"}
}

// AppendShardTelemetry appends where messages of id are published to a shard:
// [Names.Telemetry] for shard 0, and hub.telemetry.shard.{shard}.{device}[.{module}]
// for the others, whose streams keep them as [Names.Telemetry] too.
func (n Names) AppendShardTelemetry(dst []byte, shard int, id hub.Identity) []byte {
	if shard == 0 {
		return n.AppendTelemetry(dst, id)
	}
	dst = append(append(dst, n.prefix()...), ".telemetry.shard."...)
	dst = append(strconv.AppendInt(dst, int64(shard), 10), '.')
	return AppendKey(dst, id)
}

func (n Names) shardPrefix(shard int) string {
	return n.prefix() + ".telemetry.shard." + strconv.Itoa(shard) + "."
}

// Shard says in which of so many streams the messages of a device and its modules
// are, by FNV-1a of its id. All nodes agree on it.
func Shard(device string, shards int) int {
	const offset, prime = 2166136261, 16777619
	if shards <= 1 {
		return 0
	}
	h := uint32(offset)
	for i := range len(device) {
		h = (h ^ uint32(device[i])) * prime
	}
	return int(h % uint32(shards)) //nolint:gosec // at most MaxShards
}

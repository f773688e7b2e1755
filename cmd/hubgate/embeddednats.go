package main

import (
	"path/filepath"

	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// embeddedNames is the names of the hub on its embedded server, with as many
// streams of telemetry as are written now or have been before: back-end apps read
// all of them.
func embeddedNames(cfg *config.Config) subject.Names {
	n := subject.Names{Prefix: cfg.NATS.Prefix, Shards: cfg.Telemetry.Shards}
	streams, _ := filepath.Glob(filepath.Join(cfg.DataDir, "jetstream", "*", "streams", n.TelemetryStream()+"_*"))
	for _, dir := range streams {
		if shard, ok := n.ShardOf(filepath.Base(dir)); ok {
			n.Shards = max(n.Shards, shard+1)
		}
	}
	return n
}

// leafOf is the link of the embedded server to another NATS.
func leafOf(c config.NATS) embedded.Leaf {
	l := embedded.Leaf{URL: c.Leaf.URL, CredsFile: c.Leaf.Creds, CAFile: c.Leaf.CA}
	l.DenyImports, l.DenyExports = subject.Names{Prefix: c.Prefix}.EdgeDenied(c.Domain)
	return l
}

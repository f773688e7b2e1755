package backend

import (
	"context"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

// openSessions opens the store of sessions with what belongs to it: wills, the
// nodes that own sessions, and what this process owes. The events come later.
func (b *Backbone) openSessions(ctx context.Context, presence *bucket) error {
	wills, err := openBucket(ctx, b.js, b.names.WillBucket())
	if err != nil {
		return err
	}
	nodes, err := openBucket(ctx, b.js, b.names.NodesBucket())
	if err != nil {
		return err
	}
	b.nodes = &Nodes{
		bucket: nodes, names: b.names, nc: b.nc, node: b.cfg.Node, version: b.cfg.Version, log: b.cfg.Log,
		timing: timingOfNodes(b.cfg.NodeTimeout), again: make(chan struct{}, 1), census: census{self: b.cfg.Node},
	}
	store := newWillStore(wills, b.cfg)
	store.lost = b.willLost
	b.sessions = &SessionStore{
		bucket: presence, names: b.names, nc: b.nc, log: b.cfg.Log, wills: store, nodes: b.nodes, debts: newDebts(b.cfg.Log),
	}
	return nil
}

// willLost tells the timeline of a will that nobody can send.
func (b *Backbone) willLost(id hub.Identity, err error) {
	code := hub.CodeOf(err)
	b.recorder.Record(timeline.Entry{ID: id, What: timeline.WillLost, Code: code, Message: err.Error()})
	b.cfg.Log.Warn().Err(err).Str("device_id", id.Device).Str("module_id", id.Module).Msg("a will was lost")
}

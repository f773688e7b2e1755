package backend

import (
	"context"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// refusalCounts is for how long a message that JetStream has refused to store
// says that it would refuse the next one too. It is not longer, because a node
// that is given no devices can't find out otherwise.
const refusalCounts = 30 * time.Second

// Ready reports, as ServiceUnavailable, what keeps the hub from storing: no
// connection to NATS, or no answer from JetStream.
func (b *Backbone) Ready(ctx context.Context) error {
	if err := b.CheckNATS(); err != nil {
		return err
	}
	if err := b.CheckStore(); err != nil {
		return err
	}
	return b.CheckStreams(ctx)
}

// CheckNATS fails while a connection to NATS is lost. It asks nobody.
func (b *Backbone) CheckNATS() error {
	for _, c := range b.Stats().Connections {
		if !c.Connected && c.Role == "main" {
			return hub.Errorf(hub.ServiceUnavailable, "there is no connection to NATS at %s", redact(b.cfg.URL))
		}
		if !c.Connected {
			return hub.Errorf(hub.ServiceUnavailable, "the connection to NATS for %s is lost", c.Role)
		}
	}
	return nil
}

// CheckStore fails while messages of devices can't be stored, as far as this
// node has seen. It asks nobody.
func (b *Backbone) CheckStore() error {
	if err := b.commits.trouble(); err != nil {
		return err
	}
	return b.telemetry.trouble()
}

// trouble is why the engine does not store; nil: it does, or has nothing to.
func (e *Engine) trouble() error {
	if !e.Flowing() {
		return hub.Errorf(hub.ServiceUnavailable, "JetStream does not store telemetry at the moment")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refusal != nil && e.now()-e.refusedAt < int64(refusalCounts) {
		return hub.Errorf(hub.ServiceUnavailable, "the last message could not be stored: %w", e.refusal)
	}
	return nil
}

// noteRefusal remembers that JetStream would not store. e.mu is held.
func (e *Engine) noteRefusal(err error) {
	if hub.CodeOf(err) == hub.ServiceUnavailable {
		e.refusal, e.refusedAt = err, e.now()
	}
}

// CheckStreams asks JetStream for what no device can do without: it fails when
// one of these streams has no leader, is gone, or is not told of before ctx ends.
func (b *Backbone) CheckStreams(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	n := b.names
	for _, name := range append(n.TelemetryShards(), "KV_"+n.DeviceBucket(), "KV_"+n.PresenceBucket()) {
		if _, err := b.js.Stream(ctx, name); err != nil {
			return hub.Errorf(hub.ServiceUnavailable, "look up stream %s: %w", name, err)
		}
	}
	return nil
}

// CheckNode fails while the other nodes of the hub take this one for dead, or will
// soon because its beats are not stored: it lets nobody in until they are.
func (b *Backbone) CheckNode() error {
	n := b.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.joined && (n.fenced || !n.known):
		return errFenced()
	case n.joined && n.isSilent():
		return hub.Errorf(hub.ServiceUnavailable, "this node has not been able to tell the others that it lives for %v", since(n.last).Round(time.Second))
	default:
		return nil
	}
}

// CheckIndex fails until queries can be answered: the index of this node has to
// be read from the buckets first.
func (b *Backbone) CheckIndex() error {
	for _, f := range b.fleet.feeds {
		if !f.isReady() {
			return hub.Errorf(hub.ServiceUnavailable, "this node is still reading bucket %s for its index", f.bucket.name)
		}
	}
	return nil
}

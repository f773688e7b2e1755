package main

import (
	"context"
	"time"

	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/twin"
)

// watchPause is how long to wait before a watch that broke is begun again.
const watchPause = time.Second

// watch lets the connections of this node follow what changes elsewhere:
// identities, policies, twins, and claims that other nodes make.
func (n *node) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	n.onStop(func(context.Context) { cancel() })
	go n.again(ctx, "identities", func(ctx context.Context) error {
		return n.back.Devices().Watch(ctx, func(c identity.Change) { n.face.Changed(n.gateway, c) })
	})
	go n.again(ctx, "sessions", func(ctx context.Context) error {
		return n.back.Sessions().Watch(ctx, n.gateway.Displaced)
	})
	go n.again(ctx, "twins", func(ctx context.Context) error {
		return n.back.Twins().Watch(ctx,
			func(a twin.Announcement) { n.face.TwinChanged(n.gateway, a) },
			func() { n.face.TwinsMissed(n.gateway) })
	})
	n.back.Fleet().OnClaim(n.gateway.Displaced)
	go n.followTwins(ctx)
	go n.followPolicies(ctx)
	go n.followAuthorities(ctx)
}

// followPolicies cuts the connections that a changed policy no longer lets in,
// until ctx ends.
func (n *node) followPolicies(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.back.Policies().Changed():
			n.face.PoliciesChanged(n.gateway)
		}
	}
}

// again runs f until ctx ends.
func (n *node) again(ctx context.Context, what string, f func(context.Context) error) {
	for ctx.Err() == nil {
		err := f(ctx)
		if ctx.Err() != nil {
			return
		}
		n.log.Error().Err(err).Str("of", what).Msg("a watch was interrupted")
		select {
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
	}
}

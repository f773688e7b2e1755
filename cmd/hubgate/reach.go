package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

const (
	reachPause  = 2 * time.Second  // between two attempts
	reachRemind = 30 * time.Second // between two lines of the log that say the same
)

// reach opens the hub's streams and buckets. NATS servers of their own may come
// later than the node, after a power failure for example, or lack their quorum:
// that is waited for, and the log and /readyz say so. Meanwhile nothing listens for
// devices, so that a load balancer takes them elsewhere. Whatever only an operator can mend
// ends the start.
func (n *node) reach(ctx context.Context, bound *listeners, cfg backend.Config, opts ...nats.Option) (*backend.Backbone, error) {
	back, err := backend.Connect(ctx, cfg, opts...)
	if err == nil || !n.waitsFor(ctx, err) {
		return back, err
	}
	bound.closeDevices()
	var told string
	var when time.Time
	for began := time.Now(); n.waitsFor(ctx, err); {
		if limit := time.Duration(n.cfg.NATS.Wait); time.Since(began) > limit {
			return nil, fmt.Errorf("NATS was not ready within %v (nats.wait): %w", limit, err)
		}
		if text := sentence(err); text != told || time.Since(when) >= reachRemind {
			told, when = text, time.Now()
			n.log.Warn().Str("why", text).Msg("waiting for NATS; the node is not ready, and accepts no devices")
		}
		n.waitingAdmin(err)
		select {
		case <-time.After(reachPause):
			back, err = backend.Connect(ctx, cfg, opts...)
		case <-ctx.Done():
		}
	}
	if err != nil {
		return nil, err
	}
	again, err := bindDevices(ctx, n.cfg, config.Serve, n.log)
	if err != nil {
		back.Close(ctx)
		return nil, err
	}
	again.admin = bound.admin
	*bound = *again
	n.log.Info().Msg("NATS is there")
	return back, nil
}

// waitsFor reports whether err is mended by servers that come or find a leader.
// The server of this process is there, or will never be.
func (n *node) waitsFor(ctx context.Context, err error) bool {
	return err != nil && n.nats == nil && n.cfg.NATS.Wait > 0 && ctx.Err() == nil && backend.Passing(err)
}

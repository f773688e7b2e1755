package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// patiently connects, again and again for as long as the configuration allows,
// while what is wrong may be over in a moment: no server answers yet, streams have
// no leader, servers are missing for the replicas. A cluster that starts with all
// its machines is like that for a while, and a node that ended instead would only
// be started again. What waiting can't mend is an error at once.
func patiently(ctx context.Context, cfg Config, opts []nats.Option) (*Backbone, error) {
	began, said := time.Now(), ""
	for n := 1; ; n++ {
		b, err := connect(ctx, cfg, opts)
		if err == nil {
			if n > 1 {
				cfg.Log.Info().Dur("after", time.Since(began)).Msg("NATS is ready: the start goes on")
			}
			return b, nil
		}
		pause := backoff(n)
		left := cfg.Patience - time.Since(began)
		switch {
		case !Passing(err) || cfg.Patience <= 0:
			return nil, err
		case left < pause:
			return nil, fmt.Errorf("NATS was not ready within %v (nats.wait): %w", cfg.Patience, err)
		case err.Error() != said:
			said = err.Error()
			cfg.Log.Warn().Str("why", said).Dur("at_most", left).Msg("NATS is not ready; the start waits for it, and this node takes no connections until then")
		}
		if !wait(ctx, pause) {
			return nil, err
		}
	}
}

// Passing reports whether an error of [Connect] may be over in a while.
func Passing(err error) bool {
	if noRoom(err) {
		return false
	}
	switch apiCode(err) {
	case errClusterNotAvailable, errClusterNotLeader, errStreamOffline, errTooManyRequests, errNoPeers:
		return true
	default:
	}
	if hub.CodeOf(err) == hub.ServiceUnavailable {
		return true
	}
	for _, one := range []error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionClosed, nats.ErrStaleConnection,
		jetstream.ErrJetStreamNotEnabled, // no server with JetStream has answered
		context.DeadlineExceeded,
	} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

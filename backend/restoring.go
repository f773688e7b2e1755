package backend

import (
	"context"
	"fmt"

	"github.com/hubgate/hubgate/hub"
)

// whole fails while the hub is being restored from a backup: a node that saw a
// part of it would take the rest for deleted.
func (b *Backbone) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, assetTimeout)
	defer cancel()
	_, err := b.js.Stream(ctx, b.names.RestoreStream())
	if err == nil {
		return fmt.Errorf("the hub is being restored from a backup: start the node when that is done, and if nobody is at it any more, run hubgate restore again with --discard-unfinished (stream %s)", b.names.RestoreStream())
	}
	switch apiCode(err) {
	case errStreamOffline, errClusterNotAvailable, errClusterNotLeader: // it may be there, on a server that is not
		return hub.Errorf(hub.ServiceUnavailable, "look whether the hub is being restored from a backup: %w", err)
	default:
	}
	return nil // what is wrong with JetStream is said of the first stream that a node needs
}

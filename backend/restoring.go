package backend

import (
	"context"
	"fmt"
)

// whole fails while the hub is being restored from a backup: a node that saw a
// part of it would take the rest for deleted.
func (b *Backbone) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, assetTimeout)
	defer cancel()
	if _, err := b.js.Stream(ctx, b.names.RestoreStream()); err == nil {
		return fmt.Errorf("the hub is being restored from a backup: start the node when that is done, and if nobody is at it any more, run hubgate restore again with --discard-unfinished (stream %s)", b.names.RestoreStream())
	}
	return nil // what is wrong with JetStream is said of the first stream that a node needs
}

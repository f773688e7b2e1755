package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"
)

const (
	// enoughRoom is what must be free on a disk that was full before a node ends
	// to be started again: with less it would be full at once.
	enoughRoom = 64 << 20
	roomEvery  = time.Second // how often the node looks
)

var errRoomAgain = errors.New("NATS could not write to the disk and has given up a stream; there is room now, and the hub has to be started again")

// awaitRoom ends the node when its NATS server has given up a stream for want of
// room and there is some again: only another start has it write there, which the
// service manager makes. Until then the devices stay, and what needs no store is
// done.
func (n *node) awaitRoom() {
	ctx, cancel := context.WithCancel(context.Background())
	n.onStop(func(context.Context) { cancel() })
	n.background(func() error {
		select {
		case <-n.nats.GaveUp():
		case <-ctx.Done():
			return nil
		}
		store := filepath.Join(n.cfg.DataDir, "jetstream")
		look := time.NewTicker(roomEvery)
		defer look.Stop()
		for {
			select {
			case <-look.C:
			case <-ctx.Done():
				return nil
			}
			if freeBytes(store) >= enoughRoom { // below 0: nobody knows
				n.breakOff()
				return errRoomAgain
			}
		}
	})
}

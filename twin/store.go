package twin

import (
	"context"

	"github.com/hubgate/hubgate/hub"
)

// Store keeps twins and knows no rules. All errors are *hub.Error. Methods may
// be called from any goroutine.
type Store interface {
	// Get returns the twin of id with its Generation and Revision. An identity
	// whose twin was never written, or belongs to an earlier identity of the
	// same name, has the one of [New]. It fails with DeviceNotFound or
	// ModuleNotFound when there is no such identity.
	Get(ctx context.Context, id hub.Identity) (Twin, error)
	// Put stores next if its Revision is still that of the stored twin, and
	// returns the new one; PreconditionFailed says that it is not, or that the
	// identity is gone. It tells those who want to know of c; a zero one is that of
	// a write that changes nothing but the Epoch.
	Put(ctx context.Context, next Twin, c Change) (revision uint64, err error)
	// Claimed reports whether a session can have been claimed with this epoch: one
	// that can't is of a time before the sessions were lost.
	Claimed(ctx context.Context, epoch uint64) (bool, error)
	// Written reports whether a twin can have been written with this revision: one
	// that can't is of a time before the twins went back to a backup.
	Written(ctx context.Context, revision uint64) (bool, error)
}

// Announcement is what the node that has a device's connection hears of a
// write that a back end has made anywhere.
type Announcement struct {
	ID hub.Identity
	// Revision is that of the written twin.
	Revision uint64
	// Desired is what the device is told; Version 0: nothing.
	Desired Notification
}

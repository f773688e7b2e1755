package twin

import (
	"context"

	"github.com/hubgate/hubgate/hub"
)

// Owner is the connection that a [Copy] is of. Of two connections of a device the
// one with the greater epoch is the owner. The other one may not know yet, and
// may have a patch of its device under way: what it writes must not come after
// what the device has seen or written by the new one.
type Owner struct {
	Generation string // of the identity; empty: any
	Epoch      uint64 // of the claim; 0: nobody competes
	// Contested says that an earlier connection may still believe that it is the
	// owner. Then the twin is fenced before the device reads it.
	Contested bool
}

// check fails with ConnectionReplaced when a newer connection has written t. An
// epoch that nobody can have claimed is of a time before the sessions were lost,
// and means nothing.
func (c *Copy) check(ctx context.Context, t Twin) error {
	if c.owner.Epoch == 0 || t.Epoch <= c.owner.Epoch {
		return nil
	}
	claimed, err := c.twins.Store.Claimed(ctx, t.Epoch)
	if err == nil && claimed {
		err = hub.Errorf(hub.ConnectionReplaced, "%s has a newer connection, which has used its twin", t.ID)
	}
	return err
}

// takes reports whether the next write brings the epoch of the connection into t.
func (o Owner) takes(t Twin) bool { return o.Epoch != 0 && t.Epoch != o.Epoch }

// fence keeps earlier connections from writing t, which the device is about to
// read: one write, if there may be any such connection. It fails with errRace when
// t is no longer current. c.io is held.
func (c *Copy) fence(ctx context.Context, t Twin) (Twin, error) {
	if err := c.check(ctx, t); err != nil {
		return Twin{}, err
	}
	if !c.owner.Contested || !c.owner.takes(t) {
		return t, nil
	}
	next, err := c.twins.put(ctx, t, "", func(t Twin) (Twin, Change, error) {
		t.Epoch = c.owner.Epoch
		return t, Change{}, nil
	})
	if err != nil {
		c.Invalidate()
		return Twin{}, err
	}
	c.keep(next)
	return next, nil
}

package iothub

import (
	"context"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/identity"
)

// recheckTimeout bounds one recheck of an identity.
const recheckTimeout = 10 * time.Second

// recheckIdentity asks again whether the client may be here when something has
// changed between the look at its identity and its entry into the table of
// connections: [Face.Changed] may have come too early to find it there. A client
// with a replaced key that connects again and again would else slip through.
func (h *handler) recheckIdentity(l gateway.Link) {
	if h.face.changes.Load() == h.changes {
		return
	}
	go func() { // it waits for the store
		ctx, cancel := context.WithTimeout(context.Background(), recheckTimeout)
		defer cancel()
		if err := h.recheckNow(ctx); err != nil {
			l.Stop(err)
		}
	}()
}

func (h *handler) recheckNow(ctx context.Context) error {
	record, _, err := h.face.lookup(ctx, h.id)
	if err == nil {
		err = h.recheck(h.id, identity.Change{ID: h.id, Record: &record})
	}
	if err == nil && h.policy != "" {
		err = h.recheckPolicy()
	}
	return err
}

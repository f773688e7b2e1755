package rest

import (
	"context"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// Presence is what sessions and queues know of identities.
type Presence interface {
	// Activity is that of one identity, as the stores have it.
	Activity(ctx context.Context, id hub.Identity) (identity.Activity, error)
	// Activities is those of many, in their order.
	Activities(ctx context.Context, ids []hub.Identity) ([]identity.Activity, error)
	// Statistics counts devices.
	Statistics(ctx context.Context) (identity.Statistics, error)
}

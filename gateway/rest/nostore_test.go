package rest

import (
	"context"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// noStore takes every identity, and has none.
type noStore struct{}

func (noStore) Get(_ context.Context, id hub.Identity) (identity.Record, error) {
	return identity.Record{}, identity.NotFound(id)
}
func (noStore) Create(context.Context, identity.Record) (uint64, error) { return 1, nil }
func (noStore) Update(_ context.Context, r identity.Record) (uint64, error) {
	return 0, identity.NotFound(r.ID)
}
func (noStore) Delete(_ context.Context, r identity.Record) error { return identity.NotFound(r.ID) }
func (noStore) List(context.Context, identity.Query) ([]identity.Record, error) {
	return nil, nil
}

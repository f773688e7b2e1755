package simulate

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// Mark is the status reason of the devices that this package makes. It uses and
// deletes no others.
const Mark = "made by hubgate simulate"

// Registry makes and deletes devices.
type Registry interface {
	// Make makes those of the devices that are not there, and returns all with
	// their keys, in order. A device that was not made so is an error.
	Make(ctx context.Context, ids []string, told func(done int)) ([]Account, error)
	// Remove deletes devices that Make has returned; one that is gone already
	// is none to delete.
	Remove(ctx context.Context, ids []string, told func(done int)) error
}

// workers are how many requests are made at a time.
const workers = 16

// Identities is what is needed of a registry over NATS.
type Identities interface {
	Create(ctx context.Context, record identity.Record) (identity.Record, error)
	GetWithKeys(ctx context.Context, id hub.Identity) (identity.Record, error)
	Delete(ctx context.Context, id hub.Identity, ifMatch string) error
}

// OverNATS is the registry of a hub whose NATS can be reached.
type OverNATS struct{ Identities }

// Make implements [Registry].
func (o OverNATS) Make(ctx context.Context, ids []string, told func(done int)) ([]Account, error) {
	accounts := make([]Account, len(ids))
	err := each(ctx, len(ids), told, func(ctx context.Context, i int) error {
		r, err := o.make(ctx, hub.Identity{Device: ids[i]})
		if err != nil {
			return err
		}
		accounts[i], err = accountOf(&r)
		return err
	})
	return accounts, err
}

func (o OverNATS) make(ctx context.Context, id hub.Identity) (identity.Record, error) {
	r, err := o.Create(ctx, identity.Record{ID: id, Status: identity.StatusEnabled, StatusReason: Mark})
	if hub.CodeOf(err) == hub.DeviceAlreadyExists {
		r, err = o.GetWithKeys(ctx, id)
	}
	if err != nil {
		return r, fmt.Errorf("make the device %s: %w", id, err)
	}
	return r, nil
}

// Remove implements [Registry].
func (o OverNATS) Remove(ctx context.Context, ids []string, told func(done int)) error {
	return each(ctx, len(ids), told, func(ctx context.Context, i int) error {
		err := o.Delete(ctx, hub.Identity{Device: ids[i]}, "*")
		if err != nil && hub.CodeOf(err) != hub.DeviceNotFound {
			return fmt.Errorf("delete the device %s: %w", ids[i], err)
		}
		return nil
	})
}

// accountOf is the account of a device that this package has made.
func accountOf(r *identity.Record) (Account, error) {
	if r.StatusReason != Mark {
		return Account{}, hub.Errorf(hub.DeviceAlreadyExists, "the device %s exists, and hubgate simulate has not made it: choose other ids with --prefix or --first", r.ID)
	}
	keys, err := r.Keys()
	if err == nil && len(keys) == 0 {
		err = hub.Errorf(hub.DeviceAlreadyExists, "the device %s has no key any more: choose other ids with --prefix or --first", r.ID)
	}
	if err != nil {
		return Account{}, err
	}
	return Account{r.ID.Device, keys[0]}, nil
}

// each calls f for 0 to n-1, several at a time, until one fails.
func each(ctx context.Context, n int, told func(done int), f func(ctx context.Context, i int) error) error {
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	var done atomic.Int64
	for i := range n {
		if working.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := f(working, i); err != nil {
				return err
			}
			told(int(done.Add(1)))
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

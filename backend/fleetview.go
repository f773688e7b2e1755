package backend

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// Activity is what sessions and queues know of an identity, as the stores have
// it now.
func (f *Fleet) Activity(ctx context.Context, id hub.Identity) (identity.Activity, error) {
	r, err := f.store.Get(ctx, id)
	if err != nil {
		return identity.Activity{}, err
	}
	a, _, err := f.activity(ctx, r)
	return a, err
}

// activity reads the session and the queue of an identity at the same time.
func (f *Fleet) activity(ctx context.Context, r identity.Record) (identity.Activity, session.Session, error) {
	var s session.Session
	var messages int
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		s, err = f.sessions.Get(ctx, r.ID)
		return err
	})
	if !r.ID.IsModule() {
		g.Go(func() (err error) {
			messages, err = f.queues.one(ctx, r.ID.Device)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return identity.Activity{}, s, err
	}
	if s.Generation != "" && s.Generation != r.GenerationID { // of somebody who has been deleted
		s = session.Session{}
	}
	a := activityOf(s)
	a.Messages = messages
	return a, s, nil
}

// Activities is that of many identities, in their order, as the index has it:
// for lists, which are old anyhow when they arrive. It waits as [Fleet.Query]
// does.
func (f *Fleet) Activities(ctx context.Context, ids []hub.Identity) ([]identity.Activity, error) {
	if err := f.current(ctx, counted); err != nil {
		return nil, err
	}
	all := make([]identity.Activity, len(ids))
	for i, id := range ids {
		all[i] = f.catalog.activity(id)
	}
	return all, nil
}

// Statistics counts devices as the index has them. It waits as [Fleet.Query]
// does.
func (f *Fleet) Statistics(ctx context.Context) (identity.Statistics, error) {
	if err := f.current(ctx, uncounted); err != nil {
		return identity.Statistics{}, err
	}
	x := f.catalog
	return identity.Statistics{
		Devices: int(x.all.Load()), Enabled: int(x.enabled.Load()), Disabled: int(x.disabled.Load()), Connected: int(x.connected.Load()),
	}, nil
}

// View is a twin as the service API prints it, as the stores have it now. It
// fails with DeviceNotFound or ModuleNotFound.
func (f *Fleet) View(ctx context.Context, id hub.Identity) (twin.View, error) {
	t, r, err := f.twins.withRecord(ctx, id)
	if err != nil {
		return twin.View{}, err
	}
	return f.view(ctx, r, t)
}

// Complete adds to a twin what the registry, the session and the queue know.
func (f *Fleet) Complete(ctx context.Context, t twin.Twin) (twin.View, error) {
	r, err := f.store.Get(ctx, t.ID)
	if err != nil {
		return twin.View{}, err
	}
	return f.view(ctx, r, t)
}

func (f *Fleet) view(ctx context.Context, r identity.Record, t twin.Twin) (twin.View, error) {
	a, s, err := f.activity(ctx, r)
	if err != nil {
		return twin.View{}, err
	}
	v := viewOf(r, t)
	v.Connected, v.LastActivity, v.Messages, v.ModelID = a.Connected, a.LastActivity, a.Messages, s.ModelID
	v.Configurations = f.catalog.targets(t.ID)
	return v, nil
}

package main

import (
	"context"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

type keysCmd struct {
	ID         string `arg:"" help:"Its id."`
	Regenerate key    `name:"regenerate" enum:",primary,secondary,both" default:"" placeholder:"WHICH" help:"Make new keys first: primary, secondary or both. Connections that use an old one end."`
}

// Run shows the keys of a device or module.
func (c *keysCmd) Run(ctx context.Context, a *app) error {
	return a.with(c.ID, func(h *remote, id hub.Identity) error {
		r, err := h.Registry().GetWithKeys(ctx, id)
		if err == nil && c.Regenerate != "" {
			r, err = regenerate(ctx, h.Registry(), r, c.Regenerate)
		}
		if err != nil {
			return err
		}
		k := r.Authentication.SymmetricKey
		if a.format == formatJSON {
			return writeJSON(a.out, keys{r.ID.Device, r.ID.Module, k.PrimaryKey, k.SecondaryKey})
		}
		return writePairs(a.out, []row{{"Primary key", k.PrimaryKey}, {"Secondary key", k.SecondaryKey}})
	})
}

// keys is what -o json prints of an identity's keys.
type keys struct {
	DeviceID     string `json:"deviceId"`
	ModuleID     string `json:"moduleId,omitempty"`
	PrimaryKey   string `json:"primaryKey"`
	SecondaryKey string `json:"secondaryKey"`
}

// regenerate makes new keys for r, which nobody may have changed meanwhile.
func regenerate(ctx context.Context, registry *client.Registry, r identity.Record, which key) (identity.Record, error) {
	if r.Authentication.Type != identity.AuthSAS {
		return r, hub.Errorf(hub.ArgumentInvalid, "%s authenticates by certificate and has no keys", r.ID)
	}
	k := &r.Authentication.SymmetricKey
	if which != secondary {
		k.PrimaryKey = hub.NewKey()
	}
	if which != primary {
		k.SecondaryKey = hub.NewKey()
	}
	return registry.Update(ctx, r, r.ETag)
}

type connectionStringCmd struct {
	ID  string `arg:"" help:"Its id."`
	Key key    `name:"key" enum:"primary,secondary" default:"primary" help:"Key to use: primary or secondary."`
}

// Run prints a connection string.
func (c *connectionStringCmd) Run(ctx context.Context, a *app) error {
	return a.with(c.ID, func(h *remote, id hub.Identity) error {
		r, err := h.Registry().GetWithKeys(ctx, id)
		if err != nil {
			return err
		}
		host, err := h.hostName(ctx)
		if err != nil {
			return err
		}
		text, err := usableConnectionString(host, r, c.Key)
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, map[string]string{"connectionString": text})
		}
		return a.say("%s", text)
	})
}

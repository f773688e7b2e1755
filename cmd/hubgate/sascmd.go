package main

import (
	"context"
	"slices"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

type sasCmd struct {
	clientFlags `embed:""`

	Device string          `name:"device" xor:"who" required:"" placeholder:"ID" help:"Device that the token is for."`
	Module string          `name:"module" xor:"who" required:"" placeholder:"DEVICE/MODULE" help:"Module that it is for."`
	Policy string          `name:"policy" xor:"who" required:"" placeholder:"NAME" help:"Shared access policy that it is for, such as iothubowner; it covers the whole hub."`
	Key    key             `name:"key" enum:"primary,secondary" default:"primary" help:"Key to sign with: primary or secondary."`
	TTL    config.Duration `name:"ttl" default:"1h" help:"How long it is valid, such as 30m or 7d."`
}

// Run prints a token.
func (c *sasCmd) Run(ctx context.Context, a *app) error {
	if c.TTL < config.Second {
		return usagef("--ttl: a token that is valid for %v is of no use; give at least 1s", c.TTL)
	}
	id, err := c.identity()
	if err != nil {
		return err
	}
	h, err := a.connect(c.clientFlags)
	if err != nil {
		return err
	}
	defer h.Close()
	host, err := h.hostName(ctx)
	if err != nil {
		return err
	}
	secret, err := c.secret(ctx, a, h, id)
	if err != nil {
		return err
	}
	resource := host
	if c.Policy == "" {
		resource = sas.Resource(host, id)
	}
	expires := time.Now().Add(time.Duration(c.TTL))
	token := sas.Sign(resource, secret, expires, c.Policy)
	if a.format == formatJSON {
		return writeJSON(a.out, sasToken{token, expires.UTC().Truncate(time.Second)})
	}
	return a.say("%s", token)
}

// sasToken is a token as -o json prints it.
type sasToken struct {
	SAS     string    `json:"sas"`
	Expires time.Time `json:"expires"`
}

// identity is whose token it is; a policy's is nobody's.
func (c *sasCmd) identity() (hub.Identity, error) {
	switch {
	case c.Device != "":
		return devices.parse(c.Device)
	case c.Module != "":
		return modules.parse(c.Module)
	}
	return hub.Identity{}, nil
}

// policy returns a policy of the configuration, if this command is given it, or
// else of those that the hub keeps, as a node does.
func (a *app) policy(ctx context.Context, h *remote, flags clientFlags, name string) (sas.Policy, error) {
	cfg, err := a.load(flags.configFlags)
	if err != nil {
		return sas.Policy{}, err
	}
	own, err := cfg.Resolve(a.getenv)
	if err != nil {
		return sas.Policy{}, usageError{err}
	}
	if i := slices.IndexFunc(own, func(p sas.Policy) bool { return p.Name == name }); i >= 0 {
		return own[i], nil
	}
	return h.Policy(ctx, name)
}

// secret reads the key to sign with.
func (c *sasCmd) secret(ctx context.Context, a *app, h *remote, id hub.Identity) ([]byte, error) {
	var text string
	if c.Policy != "" {
		p, err := a.policy(ctx, h, c.clientFlags, c.Policy)
		if err != nil {
			return nil, err
		}
		text = p.PrimaryKey
		if c.Key == secondary {
			text = p.SecondaryKey
		}
		return hub.DecodeKey(text)
	}
	r, err := h.Registry().GetWithKeys(ctx, id)
	if err != nil {
		return nil, err
	}
	if r.Authentication.Type != identity.AuthSAS {
		return nil, hub.Errorf(hub.ArgumentInvalid, "%s authenticates by certificate: it has no key to sign a token with", id)
	}
	return hub.DecodeKey(c.Key.of(r))
}

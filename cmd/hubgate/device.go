package main

import (
	"context"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

type deviceCmd struct {
	clientFlags `embed:""`

	Create           createCmd           `cmd:"" help:"Create a device and print its connection string."`
	List             listDevicesCmd      `cmd:"" help:"List all devices."`
	Show             showCmd             `cmd:"" help:"Show a device, without its keys."`
	Delete           deleteCmd           `cmd:"" help:"Delete a device and its modules; their connections end."`
	Enable           enableCmd           `cmd:"" help:"Let a device connect again."`
	Disable          disableCmd          `cmd:"" help:"Keep a device and its modules out; their connections end."`
	Keys             keysCmd             `cmd:"" help:"Show a device's keys, or make new ones."`
	SetAuth          setAuthCmd          `cmd:"" name:"set-auth" help:"Change how a device proves who it is; a connection that no longer may ends."`
	ConnectionString connectionStringCmd `cmd:"" help:"Print a device's connection string."`
}

// AfterApply gives the commands below what they have in common with modules'.
func (c *deviceCmd) AfterApply(a *app) error { //nolint:unparam // kong wants the error
	a.kind, a.client = devices, c.clientFlags
	return nil
}

type moduleCmd struct {
	clientFlags `embed:""`

	Create           createCmd           `cmd:"" help:"Create a module and print its connection string."`
	List             listModulesCmd      `cmd:"" help:"List the modules of a device."`
	Show             showCmd             `cmd:"" help:"Show a module, without its keys."`
	Delete           deleteCmd           `cmd:"" help:"Delete a module; its connection ends."`
	Enable           noStatusCmd         `cmd:"" hidden:""`
	Disable          noStatusCmd         `cmd:"" hidden:""`
	Keys             keysCmd             `cmd:"" help:"Show a module's keys, or make new ones."`
	SetAuth          setAuthCmd          `cmd:"" name:"set-auth" help:"Change how a module proves who it is; a connection that no longer may ends."`
	ConnectionString connectionStringCmd `cmd:"" help:"Print a module's connection string."`
}

// AfterApply is as that of devices.
func (c *moduleCmd) AfterApply(a *app) error { //nolint:unparam // kong wants the error
	a.kind, a.client = modules, c.clientFlags
	return nil
}

type createCmd struct {
	authFlags `embed:""`

	ID           string `arg:"" help:"Its id: 1 to 128 characters of A-Z a-z 0-9 and -:.+%_#*?!(),=@;$'."`
	PrimaryKey   string `name:"primary-key" placeholder:"BASE64" help:"Key that it has already, with --secondary-key; else both are made."`
	SecondaryKey string `name:"secondary-key" placeholder:"BASE64" help:"See --primary-key."`
}

// Run creates a device or module.
func (c *createCmd) Run(ctx context.Context, a *app) error {
	auth, err := c.authentication(identity.SymmetricKey{PrimaryKey: c.PrimaryKey, SecondaryKey: c.SecondaryKey})
	if err != nil {
		return err
	}
	return a.with(c.ID, func(h *remote, id hub.Identity) error {
		r := identity.Record{ID: id, Authentication: auth}
		host, err := h.hostName(ctx)
		if err != nil {
			return err
		}
		if r, err = h.Registry().Create(ctx, r); err != nil {
			return err
		}
		out := newCreated(host, r)
		if a.format == formatJSON {
			return writeJSON(a.out, out)
		}
		return out.write(a.out)
	})
}

type listDevicesCmd struct{}

// Run lists all devices.
func (c *listDevicesCmd) Run(ctx context.Context, a *app) error { return a.list(ctx, identity.Query{}) }

type listModulesCmd struct {
	Device string `arg:"" help:"Id of the device."`
}

// Run lists the modules of a device.
func (c *listModulesCmd) Run(ctx context.Context, a *app) error {
	id, err := devices.parse(c.Device)
	if err != nil {
		return err
	}
	return a.list(ctx, identity.Query{Device: id.Device})
}

func (a *app) list(ctx context.Context, q identity.Query) error {
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	records := []identity.Record{}
	rows := []row{}
	for r, err := range h.Registry().All(ctx, q) {
		if err != nil {
			return err
		}
		records, rows = append(records, r), append(rows, rowOf(r))
	}
	if a.format == formatJSON {
		return writeJSON(a.out, records)
	}
	return writeTable(a.out, headOf(a.kind), rows)
}

type showCmd struct {
	ID string `arg:"" help:"Its id."`
}

// Run shows a device or module.
func (c *showCmd) Run(ctx context.Context, a *app) error {
	return a.with(c.ID, func(h *remote, id hub.Identity) error {
		r, err := h.Registry().Get(ctx, id)
		if err != nil {
			return err
		}
		return a.show(r)
	})
}

func (a *app) show(r identity.Record) error {
	if a.format == formatJSON {
		return writeJSON(a.out, r.WithoutKeys())
	}
	return writePairs(a.out, pairsOf(r))
}

type deleteCmd struct {
	ID   string `arg:"" help:"Its id."`
	ETag string `name:"etag" default:"*" help:"Delete only if it still has this etag."`
}

// Run deletes a device or module.
func (c *deleteCmd) Run(ctx context.Context, a *app) error {
	return a.with(c.ID, func(h *remote, id hub.Identity) error {
		if err := h.Registry().Delete(ctx, id, c.ETag); err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, map[string]string{"deleted": id.String()})
		}
		return a.say("%s is deleted.", id)
	})
}

type enableCmd struct {
	ID string `arg:"" help:"Id of the device."`
}

// Run enables a device.
func (c *enableCmd) Run(ctx context.Context, a *app) error {
	return a.setStatus(ctx, c.ID, identity.StatusEnabled, "")
}

type disableCmd struct {
	ID     string `arg:"" help:"Id of the device."`
	Reason string `name:"reason" help:"Why; it is kept with the status."`
}

// Run disables a device.
func (c *disableCmd) Run(ctx context.Context, a *app) error {
	return a.setStatus(ctx, c.ID, identity.StatusDisabled, c.Reason)
}

func (a *app) setStatus(ctx context.Context, text string, status identity.Status, reason string) error {
	return a.with(text, func(h *remote, id hub.Identity) error {
		r, err := h.Registry().SetStatus(ctx, id.Device, status, reason)
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			return a.show(r)
		}
		return a.say("%s is %s.", id, status)
	})
}

type noStatusCmd struct {
	ID string `arg:""`
}

// Run says why modules are neither enabled nor disabled.
func (c *noStatusCmd) Run() error {
	id, err := modules.parse(c.ID)
	if err != nil {
		return err
	}
	return usagef("a module has no status of its own, as in IoT Hub: hubgate device disable %s keeps out the device and its modules", id.Device)
}

// with parses an id, connects, and calls f.
func (a *app) with(text string, f func(*remote, hub.Identity) error) error {
	id, err := a.kind.parse(text)
	if err != nil {
		return err
	}
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	return f(h, id)
}

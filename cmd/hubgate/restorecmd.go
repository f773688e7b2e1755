package main

import (
	"context"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/backup"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
)

type restoreCmd struct {
	configFlags `embed:""`

	In                string   `name:"in" required:"" placeholder:"DIR" help:"Directory of the backup."`
	Identity          []string `name:"identity" short:"i" sep:"none" placeholder:"FILE" help:"Private key of age that decrypts it. Repeatable."`
	Verify            bool     `name:"verify" help:"Only read the backup, all of it, and say whether it is good. Needs no NATS."`
	DiscardUnfinished bool     `name:"discard-unfinished" help:"Remove first what a restore has made that was interrupted."`
	NATS              string   `name:"nats" conf:"nats.url" placeholder:"URL" help:"NATS server to restore into."`
	Creds             string   `name:"creds" conf:"nats.creds" placeholder:"FILE" help:"Credentials of the NATS user."`
	Embedded          bool     `name:"embedded" conf:"nats.embedded" help:"Restore into the data directory, for a node with an embedded NATS server, which must not run."`
}

// Run makes a hub from a backup.
func (c *restoreCmd) Run(ctx context.Context, a *app) error {
	identities, err := c.identities()
	if err != nil {
		return err
	}
	if c.Verify {
		return c.verify(ctx, a, identities)
	}
	cfg, err := a.load(c.configFlags)
	if err != nil {
		return err
	}
	if cfg.NATS.Embedded && cfg.NATS.URL != "" {
		return usagef("the hub is to be either in the embedded NATS server's data directory or at nats.url, not both: give --nats URL --embedded=false, or --embedded --nats=, where the configuration has the other")
	}
	// A mistake in the backup is told before anything is started.
	if _, err := backup.Verify(ctx, c.In, identities); err != nil {
		return err
	}
	to, err := c.target(ctx, a, cfg)
	if err != nil {
		return err
	}
	if cfg.NATS.Embedded {
		cfg.NATS.Replicas, cfg.NATS.Placement = 1, config.Placement{} // whatever the hub had: there is one server
	}
	result, err := c.restore(ctx, to.hub, backup.Plan{
		Dir: c.In, Identities: identities, Replicas: cfg.NATS.Replicas, Placement: backend.Placement(cfg.NATS.Placement), DiscardUnfinished: c.DiscardUnfinished, Done: a.progress("restored"), Sync: to.sync,
	}, cfg.NATS.Domain)
	to.close()
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		return writeJSON(a.out, map[string]any{"manifest": result.Manifest, "released": result.Released})
	}
	return a.say("The hub is as it was at %s. %d devices were connected then; their sessions wait for them. Start the nodes now.",
		result.Manifest.Begun.Format(time.RFC3339), result.Released)
}

func (c *restoreCmd) verify(ctx context.Context, a *app, identities []age.Identity) error {
	m, err := backup.Verify(ctx, c.In, identities)
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		return writeJSON(a.out, m)
	}
	return a.say("The backup in %s is good: the hub %s as of %s, %d streams, %d MiB.", c.In, visible(m.HostName), m.Begun.Format(time.RFC3339), len(m.Assets), sizeOf(m)>>20)
}

// restore refuses while a node runs: it would go on with what it remembers.
func (c *restoreCmd) restore(ctx context.Context, h *client.Client, p backup.Plan, domain string) (*backup.Result, error) {
	nodes, err := h.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	if len(nodes) > 0 {
		names := make([]string, 0, len(nodes))
		for _, n := range nodes {
			names = append(names, visible(n.Name))
		}
		return nil, hub.Errorf(hub.PreconditionFailed, "nodes of the hub run: %s; stop them first, and start them when the hub is restored", strings.Join(names, ", "))
	}
	if p.Host, err = os.Hostname(); err != nil {
		p.Host = "a machine without a name"
	}
	return backup.Account{Conn: h.Conn(), Prefix: h.Names().Prefix, Domain: domain}.Restore(ctx, p)
}

// restoreTarget is where the hub is to be.
type restoreTarget struct {
	hub   *client.Client
	sync  func() error // see backup.Plan
	close func()
}

// target connects to where the hub is to be.
func (c *restoreCmd) target(ctx context.Context, a *app, cfg *config.Config) (*restoreTarget, error) {
	if cfg.NATS.Embedded {
		return c.startTarget(ctx, a, cfg)
	}
	if cfg.NATS.URL == "" {
		return nil, usagef("say where the hub is to be: --nats URL, or --embedded for the data directory of a node with an embedded NATS server")
	}
	h, err := dialHub(cfg.NATS)
	if err != nil {
		return nil, unreachable(cfg, false, err)
	}
	return &restoreTarget{hub: h, close: h.Close}, nil
}

// startTarget runs the embedded server for as long as the restore takes.
func (c *restoreCmd) startTarget(ctx context.Context, a *app, cfg *config.Config) (*restoreTarget, error) {
	if cfg.DataDir == "" {
		var err error
		if cfg.DataDir, err = config.DefaultDataDir(); err != nil {
			return nil, usagef("find the data directory: %w; give it with --data-dir", err)
		}
	}
	encryption, err := encryptionOf(cfg.NATS, a.getenv)
	if err != nil {
		return nil, err
	}
	log, err := a.logger(config.Log{Level: "warn", Format: cfg.Log.Format})
	if err != nil {
		return nil, err
	}
	cfg.NATS.Port, cfg.NATS.Leaf = 0, config.Leaf{} // nobody else is to find it
	n := &node{cfg: cfg, log: log, encryption: encryption}
	if err := n.startNATS(ctx); err != nil {
		return nil, err
	}
	h, err := client.Connect(client.Options{
		CredsFile: n.nats.GatewayCreds(), Prefix: cfg.NATS.Prefix, NATS: []nats.Option{n.nats.InProcess(), nats.Name("hubgate restore")},
	})
	if err != nil {
		n.stop()
		return nil, err
	}
	return &restoreTarget{hub: h, sync: n.nats.SyncFiles, close: func() {
		h.Close()
		n.stop()
	}}, nil
}

func (c *restoreCmd) identities() ([]age.Identity, error) {
	var all []age.Identity
	for _, path := range c.Identity {
		keys, err := parseFile(path, age.ParseIdentities)
		if err != nil {
			return nil, usagef("--identity: %w", err)
		}
		all = append(all, keys...)
	}
	return all, nil
}

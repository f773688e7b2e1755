package main

import (
	"context"
	"strings"
	"time"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
)

type drainCmd struct {
	clientFlags `embed:""`

	Node    string          `arg:"" optional:"" help:"Name of the node. Default: the only one that runs."`
	Over    config.Duration `name:"over" default:"30s" placeholder:"TIME" help:"Time over which the connections are closed, up to 1h."`
	Timeout config.Duration `name:"timeout" default:"2m" placeholder:"TIME" help:"How long to wait, beyond --over, until all have ended."`
}

// drainPoll is how often a node is asked how far it is.
const drainPoll = 200 * time.Millisecond

// Run drains a node and waits until it has no connections.
func (c *drainCmd) Run(ctx context.Context, a *app) error {
	over := time.Duration(c.Over)
	if over > time.Hour {
		return usagef("--over: %v is more than 1h", c.Over)
	}
	h, err := a.connect(c.clientFlags)
	if err != nil {
		return err
	}
	defer h.Close()
	name, err := c.node(ctx, h)
	if err != nil {
		return err
	}
	before, err := h.Drain(ctx, name, over)
	if err != nil {
		return err
	}
	if err := c.await(ctx, h, before, time.Now().Add(over+time.Duration(c.Timeout))); err != nil {
		return err
	}
	if a.format == formatJSON {
		return writeJSON(a.out, map[string]any{"node": name, "closed": before.Connections})
	}
	return a.say("The node %s is drained: it takes no devices, and its %d connections have ended. Stop or restart it now.", visible(name), before.Connections)
}

func (c *drainCmd) node(ctx context.Context, h *remote) (string, error) {
	if c.Node != "" {
		return c.Node, nil
	}
	nodes, err := h.Nodes(ctx)
	if err != nil {
		return "", err
	}
	switch len(nodes) {
	case 0:
		return "", hub.Errorf(hub.ServiceUnavailable, "no node of the hub answers: does one run with this NATS, account and prefix?")
	case 1:
		return nodes[0].Name, nil
	}
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, visible(n.Name))
	}
	return "", usagef("say which node: %s", strings.Join(names, ", "))
}

// await asks n until it has no connections.
func (c *drainCmd) await(ctx context.Context, h *remote, n client.Node, deadline time.Time) error {
	var err error
	for n.Connections > 0 {
		if time.Now().After(deadline) {
			return hub.Errorf(hub.GatewayTimeout, "the node %s still has %d connections: their last messages could not be stored; see its log", n.Name, n.Connections)
		}
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
		if n, err = h.Drain(ctx, n.Name, time.Duration(c.Over)); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

type edgeCmd struct {
	Attach edgeAttachCmd `cmd:"" help:"Keep copies of an edge's telemetry and events in the NATS that is its other end."`
	Status edgeStatusCmd `cmd:"" help:"Show how far the copies of an edge are."`
}

// edgeFlags name an edge. The flags of the client lead to the NATS at its other end.
type edgeFlags struct {
	clientFlags `embed:""`

	Edge   string `arg:"" help:"nats.prefix of the hub at the edge."`
	Domain string `name:"domain" placeholder:"NAME" help:"JetStream domain of the edge, if nats.domain is set there and another one."`
}

func (f edgeFlags) edge() client.Edge { return client.Edge{Prefix: f.Edge, Domain: f.Domain} }

type edgeAttachCmd struct {
	edgeFlags `embed:""`

	MaxAge   config.Duration `name:"max-age" placeholder:"DURATION" help:"How long messages are kept here. Default: for ever."`
	MaxBytes config.Bytes    `name:"max-bytes" placeholder:"SIZE" help:"How much of each stream is kept here; the oldest messages go first. Default: no limit."`
	Replicas int             `name:"replicas" default:"1" help:"Copies in a NATS cluster, 1 to 5."`
}

// Run makes the copies, or changes their bounds.
func (c *edgeAttachCmd) Run(ctx context.Context, a *app) error {
	h, err := a.connect(c.clientFlags)
	if err != nil {
		return err
	}
	defer h.Close()
	e := c.edge()
	e.MaxAge, e.MaxBytes, e.Replicas = time.Duration(c.MaxAge), int64(c.MaxBytes), c.Replicas
	all, err := h.AttachEdge(ctx, e)
	if err != nil {
		return err
	}
	return a.printEdge(all)
}

type edgeStatusCmd struct {
	edgeFlags `embed:""`
}

// Run shows the copies.
func (c *edgeStatusCmd) Run(ctx context.Context, a *app) error {
	h, err := a.connect(c.clientFlags)
	if err != nil {
		return err
	}
	defer h.Close()
	all, err := h.EdgeStatus(ctx, c.edge())
	if err != nil {
		return err
	}
	return a.printEdge(all)
}

func (a *app) printEdge(all []client.EdgeStream) error {
	if a.format == formatJSON {
		return writeJSON(a.out, all)
	}
	for _, s := range all {
		heard := "not heard of yet"
		if s.Active >= 0 {
			heard = fmt.Sprintf("heard of %v ago", s.Active.Round(time.Millisecond))
		}
		if err := a.say("%s: %d copied, %d behind, %s", s.Name, s.Copied, s.Lag, heard); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/gateway"
)

// drainer drains a server once, whoever asks how often.
type drainer struct {
	server *gateway.Server
	https  *http.Server
	log    zerolog.Logger
	begin  sync.Once
	ctx    context.Context //nolint:containedctx // ends with the node
}

// Drain implements [backend.Drainer].
func (d *drainer) Drain(over time.Duration) {
	d.begin.Do(func() {
		d.log.Info().Dur("over", over).Int("connections", d.server.Serving()).Msg("draining: somebody asked for it by NATS")
		d.server.StopAccepting()
		d.https.SetKeepAlivesEnabled(false)             // operators go to another node too
		go func() { _ = d.server.Drain(d.ctx, over) }() // the end of the node does the rest
	})
}

// State implements [backend.Drainer].
func (d *drainer) State() (connections int, draining bool) {
	return d.server.Serving(), d.server.Draining()
}

// serveDrain has the node drained when somebody asks for it by NATS.
func (n *node) serveDrain() error {
	ctx, cancel := context.WithCancel(context.Background())
	stop, err := n.back.ServeDrain(&drainer{server: n.gateway, https: n.https, log: n.log, ctx: ctx})
	n.onStop(func(context.Context) {
		if stop != nil {
			stop()
		}
		cancel()
	})
	return err
}

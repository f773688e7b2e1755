package main

import (
	"context"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/iothub"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// callees is the devices that are connected to this node, as those who call
// direct methods see them.
type callees struct {
	face   *iothub.Face
	server *gateway.Server
}

var _ methods.Reachable = callees{}

// Invoke implements [methods.Local].
func (c callees) Invoke(ctx context.Context, call methods.Call) (methods.Answer, error) {
	return c.face.Invoke(ctx, c.server, call)
}

// Ready implements [methods.Reachable].
func (c callees) Ready(id hub.Identity, method string) bool {
	return c.face.Ready(c.server, id, method)
}

// serveMethods answers back-end apps who call direct methods. It must run
// before a device connects.
func (n *node) serveMethods(ctx context.Context) error {
	service, err := n.back.ServeMethods(ctx, n.cfg.Node, callees{n.face, n.gateway})
	if err != nil {
		return err
	}
	n.methods = service
	n.onStop(func(context.Context) {
		if err := service.Stop(); err != nil {
			n.log.Warn().Err(err).Msg("the NATS services of direct methods did not stop cleanly")
		}
	})
	return nil
}

package backend

import (
	"context"

	"github.com/nats-io/nats.go/micro"
)

// ServeC2D registers the NATS service hub-c2d, until Stop or until the backbone
// is closed: hub.c2d.purge.{device} empties a queue. Sending needs no service;
// it is a publication to hub.c2d.{device}.
func (b *Backbone) ServeC2D() (micro.Service, error) {
	purge := endpoint{"purge", b.names.C2DPurgeAll(), "c2d.purge", emptySchema, purgedSchema, b.purge}
	return b.service(micro.Config{Name: b.names.C2DName(), Description: "cloud-to-device messages"}, []endpoint{purge}, b.responder("c2d").handler)
}

// purge answers hub.c2d.purge.{device} as IoT Hub answers DELETE
// /devices/{id}/commands.
func (b *Backbone) purge(ctx context.Context, r request) (any, error) {
	count, err := b.queues.Purge(ctx, r.id.Device)
	return map[string]any{"deviceId": r.id.Device, "totalMessagesPurged": count}, err
}

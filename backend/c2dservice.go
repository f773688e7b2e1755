package backend

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/hub"
)

// ServeC2D registers the NATS service hub-c2d, until Stop or until the backbone
// is closed: hub.c2d.purge.{device} empties a queue. Sending needs no service;
// it is a publication to hub.c2d.{device}.
func (b *Backbone) ServeC2D() (micro.Service, error) {
	b.requests.of("c2d", "purge") // shown before the first one
	purge := endpoint{name: "purge", subject: b.names.C2DPurgeAll(), request: emptySchema, response: purgedSchema}
	return b.service(micro.Config{Name: b.names.C2DName(), Description: "cloud-to-device messages"}, []endpoint{purge},
		func(endpoint) micro.HandlerFunc { return b.purge })
}

// purge answers hub.c2d.purge.{device} as IoT Hub answers DELETE
// /devices/{id}/commands.
func (b *Backbone) purge(r micro.Request) {
	if !isAsked(r.Reply()) {
		return
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), serviceTimeout)
	defer cancel()
	id, err := b.names.Parse("c2d.purge", r.Subject())
	count := 0
	if err == nil {
		count, err = b.queues.Purge(ctx, id.Device)
	}
	b.requests.of("c2d", "purge").Done(began, err)
	if err != nil {
		text := hub.CodeOf(err).Hint()
		if e, ok := errors.AsType[*hub.Error](err); ok {
			text = e.Message
		}
		err = r.Error(strconv.Itoa(int(hub.CodeOf(err))), oneLine(text), nil)
	} else {
		err = r.RespondJSON(map[string]any{"deviceId": id.Device, "totalMessagesPurged": count})
	}
	if err != nil {
		b.cfg.Log.Warn().Err(err).Str("subject", r.Subject()).Msg("a request could not be answered")
	}
}

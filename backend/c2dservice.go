package backend

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

// ServeC2D registers the NATS service hub-c2d, until Stop or until the backbone
// is closed: hub.c2d.purge.{device} empties a queue. Sending needs no service;
// it is a publication to hub.c2d.{device}.
func (b *Backbone) ServeC2D() (micro.Service, error) {
	s, err := micro.AddService(b.nc, micro.Config{
		Name: b.names.C2DName(), Version: b.cfg.Version, Description: "cloud-to-device messages",
		Metadata: map[string]string{subject.HostNameKey: b.cfg.HostName},
	})
	if err != nil {
		return nil, fmt.Errorf("register the NATS service %s: %w", b.names.C2DName(), err)
	}
	err = s.AddEndpoint("purge", micro.HandlerFunc(b.purge), micro.WithEndpointSubject(b.names.C2DPurgeAll()),
		micro.WithEndpointMetadata(endpoint{request: emptySchema, response: purgedSchema}.metadata()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("register the NATS endpoint %s: %w", b.names.C2DPurgeAll(), err), s.Stop())
	}
	if err := b.nc.FlushTimeout(requestTimeout); err != nil { // requests that come from now on are answered
		return nil, errors.Join(fmt.Errorf("register the NATS service %s: %w", b.names.C2DName(), err), s.Stop())
	}
	return s, nil
}

// purge answers hub.c2d.purge.{device} as IoT Hub answers DELETE
// /devices/{id}/commands.
func (b *Backbone) purge(r micro.Request) {
	if !isAsked(r.Reply()) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), serviceTimeout)
	defer cancel()
	id, err := b.names.Parse("c2d.purge", r.Subject())
	count := 0
	if err == nil {
		count, err = b.queues.Purge(ctx, id.Device)
	}
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

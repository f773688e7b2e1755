package client

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

// Why says why a device or module is refused, was cut, or does not get or do
// what it should. It fails with DeviceNotFound or ModuleNotFound when there is
// none and nobody has called himself so.
func (c *Client) Why(ctx context.Context, id hub.Identity) (timeline.Report, error) {
	var r timeline.Report
	err := c.request(ctx, call{subject: c.names.Why(id)}, &r)
	return r, err
}

// WhyAddress says why clients at an IP address were refused. An IPv6 address
// stands for its /64 network.
func (c *Client) WhyAddress(ctx context.Context, address string) (timeline.AddressReport, error) {
	var r timeline.AddressReport
	address, err := timeline.ParseAddress(address)
	if err == nil {
		err = c.request(ctx, call{subject: c.names.WhyAddress(address)}, &r)
	}
	return r, err
}

// WatchTimeline calls f for each entry that is stored from now on, about a
// device and its modules, or about everything when device is empty, until ctx
// ends or f returns an error, which it returns; [ErrStop] is none.
func (c *Client) WatchTimeline(ctx context.Context, device string, f func(timeline.Entry) error) error {
	to := c.names.TimelineEverything()
	if device != "" {
		to = c.names.Timeline(device)
	}
	return c.watchEntries(ctx, to, f)
}

// WatchAddress is WatchTimeline for an address.
func (c *Client) WatchAddress(ctx context.Context, address string, f func(timeline.Entry) error) error {
	address, err := timeline.ParseAddress(address)
	if err != nil {
		return err
	}
	return c.watchEntries(ctx, c.names.TimelineOfAddress(address), f)
}

func (c *Client) watchEntries(ctx context.Context, subjects string, f func(timeline.Entry) error) error {
	sub, err := c.nc.SubscribeSync(subjects)
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "subscribe to %s: %w", subjects, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrSlowConsumer):
			continue // some are lost to this watcher; all are in the stream
		case err != nil:
			return hub.Errorf(hub.ServiceUnavailable, "read %s: %w", subjects, err)
		}
		var e timeline.Entry
		if json.Unmarshal(m.Data, &e) != nil {
			continue
		}
		if err := f(e); err != nil {
			if errors.Is(err, ErrStop) {
				return nil
			}
			return err
		}
	}
}

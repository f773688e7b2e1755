package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"
)

// sendTelemetry sends o.count messages, or for ever.
func (d *device) sendTelemetry(ctx context.Context, o options) error {
	ticker := time.NewTicker(o.every)
	defer ticker.Stop()
	// Content type and encoding make the body JSON for whoever reads it, not bytes.
	topic := d.who.telemetry(map[string]string{"$.ct": "application/json", "$.ce": "utf-8", "level": "info"})
	for n := 0; ; n++ {
		body, err := json.Marshal(map[string]any{"n": n, "temperature": 20 + rand.Float64()})
		if err != nil {
			return fmt.Errorf("write message %d: %w", n, err)
		}
		if err := d.publish(ctx, topic, body); err != nil {
			return fmt.Errorf("send message %d: %w", n, err)
		}
		// With the PUBACK the message is in the stream, and can be forgotten here.
		fmt.Printf("stored: %s\n", body)
		if n+1 == o.count {
			return nil
		}
		if err := d.pause(ctx, ticker); err != nil {
			return err
		}
	}
}

// pause waits for the next tick. A new interval counts at once: the old one may
// have been an hour.
func (d *device) pause(ctx context.Context, ticker *time.Ticker) error {
	for {
		select {
		case <-ticker.C:
			return nil
		case every := <-d.intervals:
			ticker.Reset(every)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// telemetry is the topic of messages with these properties, which follow it.
// Those of the system begin with "$.".
func (c credentials) telemetry(properties map[string]string) string {
	var bag []string
	for name, value := range properties {
		bag = append(bag, escape(name)+"="+escape(value))
	}
	return "devices/" + c.device + "/messages/events/" + strings.Join(bag, "&")
}

// escape is percent-encoding. A blank is %20: a plus stays a plus at the hub.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

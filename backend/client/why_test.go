package client_test

import (
	"context"
	"errors"
	"testing"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/timeline"
)

// startWhy runs a hub with the device d.
func startWhy(t *testing.T) (*client.Client, *backend.Backbone) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := embedded.Start(ctx, embedded.Config{DataDir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := backend.Connect(ctx, backend.Config{URL: s.URL(), CredsFile: s.HubCreds()})
	if err != nil {
		t.Fatal(err)
	}
	registry := &identity.Registry{Store: b.Devices()}
	if _, err := registry.Create(ctx, identity.Record{ID: hub.Identity{Device: "d"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ServeWhy(registry); err != nil {
		t.Fatal(err)
	}
	c, err := client.Connect(client.Options{URL: s.URL(), CredsFile: s.HubCreds()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		b.Close(ctx)
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return c, b
}

func TestWhy(t *testing.T) {
	t.Parallel()
	c, b := startWhy(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := make(chan timeline.Entry, 10)
	watched := make(chan error, 1)
	go func() {
		watched <- c.WatchTimeline(ctx, "d", func(e timeline.Entry) error {
			seen <- e
			if e.Message == "stop" {
				return client.ErrStop
			}
			return nil
		})
	}()
	record := func(message string) {
		b.Recorder().Record(timeline.Entry{ID: hub.Identity{Device: "d"}, What: timeline.Refused, Code: hub.Unauthorized, Message: message, Remote: "192.0.2.9:1"})
	}
	// The watcher may not have subscribed yet: tell it until it has heard.
	for i := 0; len(seen) == 0; i++ {
		record(string(rune('a' + i%26)))
		if err := b.Conn().Flush(); err != nil {
			t.Fatal(err)
		}
		if err := c.Conn().Flush(); err != nil {
			t.Fatal(err)
		}
	}
	b.Recorder().Record(timeline.Entry{ID: hub.Identity{Device: "d"}, What: timeline.Closed, Code: hub.ConnectionLost, Message: "stop"})
	for _, last := range []string{b.Names().Timeline("last"), b.Names().TimelineOfAddress("last")} {
		if _, err := b.JetStream().Publish(ctx, last, nil); err != nil { // what was published before is stored then
			t.Fatal(err)
		}
	}
	if err := <-watched; err != nil {
		t.Errorf("the watch ended with %v", err)
	}
	r, err := c.Why(ctx, hub.Identity{Device: "d"})
	if err != nil || !r.Registered || len(r.Entries) < 2 || r.Entries[0].Message != "a" {
		t.Errorf("Why: %+v, %v", r, err)
	}
	a, err := c.WhyAddress(ctx, "192.0.2.9")
	if err != nil || a.Address != "192.0.2.9" || len(a.Entries) == 0 || a.Entries[0].Claimed != "d" {
		t.Errorf("WhyAddress: %+v, %v", a, err)
	}
	if _, err := c.Why(ctx, hub.Identity{Device: "nobody"}); !errors.Is(err, &hub.Error{Code: hub.DeviceNotFound}) {
		t.Errorf("a device that does not exist: %v", err)
	}
	if _, err := c.WhyAddress(ctx, "not an address"); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("something that is no address: %v", err)
	}
	if err := c.WatchAddress(ctx, "x", nil); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("watching something that is no address: %v", err)
	}
	if err := c.WatchAddress(canceled(ctx), "192.0.2.9", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a watch that is cut off: %v", err)
	}
}

func canceled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

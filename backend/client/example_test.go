package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/telemetry"
)

// A back-end app that goes on where it was after a restart.
func ExampleClient_Consume() {
	c, err := client.Connect(client.Options{URL: "nats://127.0.0.1:4222", CredsFile: "hubgate-data/nats/hub.creds"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	options := client.TelemetryOptions{Durable: "my-app", FromStart: true}
	err = c.Consume(context.Background(), options, func(e client.Event) error {
		fmt.Println(e.From, e.Enqueued, e.System[telemetry.ContentType], e.Properties["temperatureAlert"], string(e.Body))
		return nil // an error would end it, and the message would come again
	})
	log.Fatal(err)
}

// The connection string of a new device.
func ExampleRegistry_Create() {
	ctx := context.Background()
	c, err := client.Connect(client.Options{CredsFile: "hubgate-data/nats/hub.creds"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	device, err := c.Registry().Create(ctx, identity.Record{ID: hub.Identity{Device: "thermometer-1"}})
	if hub.CodeOf(err) == hub.DeviceAlreadyExists {
		device, err = c.Registry().GetWithKeys(ctx, hub.Identity{Device: "thermometer-1"})
	}
	if err != nil {
		log.Fatal(err)
	}
	host, err := c.HostName(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("HostName=%s;DeviceId=%s;SharedAccessKey=%s\n", host, device.ID.Device, device.Authentication.SymmetricKey.PrimaryKey)
}

// All devices that are disabled.
func ExampleRegistry_All() {
	c, err := client.Connect(client.Options{CredsFile: "hubgate-data/nats/hub.creds"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	for device, err := range c.Registry().All(context.Background(), identity.Query{}) {
		if err != nil {
			log.Fatal(err)
		}
		if device.Status == identity.StatusDisabled {
			fmt.Println(device.ID, device.StatusReason)
		}
	}
}

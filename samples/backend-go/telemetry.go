package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/hubgate/hubgate/backend/client"
)

// readTelemetry prints what devices send, each message at least once. It goes
// on where it was when it is started again.
func readTelemetry(ctx context.Context, hub *client.Client, args []string) error {
	flags := flag.NewFlagSet("telemetry", flag.ContinueOnError)
	name := flags.String("name", "sample", "name of the durable consumer")
	count := flags.Int("count", 0, "stop after so many messages; 0: never")
	if flags.Parse(args) != nil || flags.NArg() > 0 {
		return errUsage
	}
	handled := 0
	return hub.Consume(ctx, client.TelemetryOptions{Durable: *name, FromStart: true}, func(e client.Event) error {
		fmt.Printf("%d %s %s %s %v\n", e.Sequence, e.Enqueued.Format("15:04:05.000"), e.From, e.Body, e.Properties)
		if handled++; handled == *count {
			return client.ErrStop
		}
		return nil // acknowledges the message; an error would end Consume, and the message would come again
	})
}

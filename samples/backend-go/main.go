// Backend-go is a back-end app: it reads what devices send, each message at
// least once, and goes on where it was when it is started again.
//
//	export HUBGATE_NATS=nats://127.0.0.1:4222 HUBGATE_CREDS=…/nats/hub.creds
//	go run ./samples/backend-go
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/hubgate/hubgate/backend/client"
)

func main() {
	name := flag.String("name", "sample", "name of the durable consumer")
	count := flag.Int("count", 0, "stop after so many messages; 0: never")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *name, *count); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "backend-go:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name string, count int) error {
	hub, err := client.Connect(client.Options{URL: os.Getenv("HUBGATE_NATS"), CredsFile: os.Getenv("HUBGATE_CREDS")})
	if err != nil {
		return err
	}
	defer hub.Close()
	handled := 0
	return hub.Consume(ctx, client.TelemetryOptions{Durable: name, FromStart: true}, func(e client.Event) error {
		fmt.Printf("%d %s %s %s %v\n", e.Sequence, e.Enqueued.Format("15:04:05.000"), e.From, e.Body, e.Properties)
		if handled++; handled == count {
			return client.ErrStop
		}
		return nil // acknowledges the message; an error would end Consume, and the message would come again
	})
}

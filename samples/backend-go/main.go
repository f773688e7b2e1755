// Backend-go is a back-end app on NATS, with Hubgate's Go package. It holds each
// of the four conversations with devices:
//
//	export HUBGATE_NATS=nats://127.0.0.1:4222 HUBGATE_CREDS=…/nats/backend.creds
//	go run ./samples/backend-go telemetry
//	go run ./samples/backend-go method dev1 reboot '{"delay":5}'
//	go run ./samples/backend-go twin dev1 '{"telemetryInterval":10}'
//	go run ./samples/backend-go message dev1 'Hello, device'
//
// One file each.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/hubgate/hubgate/backend/client"
)

const usage = `usage:
  backend-go telemetry [-name NAME] [-count N]   print what devices send
  backend-go method DEVICE NAME [JSON]           call a direct method
  backend-go twin DEVICE [JSON]                  show a twin; with JSON, write desired properties first
  backend-go message DEVICE TEXT                 send a message and wait for what becomes of it`

// errUsage is what a command returns that can't make sense of its arguments.
var errUsage = errors.New("wrong arguments")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case err == nil, errors.Is(err, context.Canceled): // done, or Ctrl-C
	case errors.Is(err, errUsage), errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "backend-go:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	commands := map[string]func(context.Context, *client.Client, []string) error{
		"telemetry": readTelemetry, "method": callMethod, "twin": writeTwin, "message": sendMessage,
	}
	command, known := commands[args[0]]
	if !known {
		return errUsage
	}
	hub, err := client.Connect(client.Options{URL: os.Getenv("HUBGATE_NATS"), CredsFile: os.Getenv("HUBGATE_CREDS")})
	if err != nil {
		return fmt.Errorf("connect to the hub's NATS, see HUBGATE_NATS and HUBGATE_CREDS: %w", err)
	}
	defer hub.Close()
	return command(ctx, hub, args[1:])
}

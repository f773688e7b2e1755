// Device-go is a device in Go without an SDK: plain MQTT 3.1.1 over TLS, a SAS
// token as the password, and the topics of Microsoft's page on using MQTT
// directly. It imports nothing of Hubgate: it would run against IoT Hub too.
//
//	export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
//	go run ./samples/device-go -ca ca.pem
//
// One file per conversation: telemetry.go, twin.go with desired.go, methods.go
// and messages.go; connection.go holds them together.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	ca    string
	port  int
	count int
	every time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.ca, "ca", "", "PEM file of the hub's authority; empty: the system's")
	flag.IntVar(&o.port, "port", 8883, "port of MQTT over TLS")
	flag.IntVar(&o.count, "count", 0, "stop after so many messages; 0: at Ctrl-C")
	flag.DurationVar(&o.every, "every", 5*time.Second, "how long to wait in between, unless the twin says otherwise")
	flag.Parse()
	// Ctrl-C, or the SIGTERM of an init system, ends ctx and with it everything
	// that waits. After stop a second Ctrl-C ends the program at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, o); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "device-go:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.every <= 0 {
		return fmt.Errorf("-every %v: give a positive duration such as 5s", o.every)
	}
	// The key comes by the environment: every user of a machine sees the
	// arguments of all programs.
	who, err := parseCredentials(os.Getenv("IOTHUB_DEVICE_CONNECTION_STRING"))
	if err != nil {
		return fmt.Errorf("read IOTHUB_DEVICE_CONNECTION_STRING: %w", err)
	}
	roots, err := trust(o.ca)
	if err != nil {
		return err
	}
	d := newDevice(ctx, who, roots, o)
	if err := d.connect(ctx); err != nil {
		return err
	}
	// DISCONNECT tells the hub that the device has gone on purpose.
	defer d.client.Disconnect(250)
	go d.followDesired(ctx)
	return d.sendTelemetry(ctx, o)
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// callMethod calls a direct method and prints the device's answer.
func callMethod(ctx context.Context, c *client.Client, args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return errUsage
	}
	call := methods.Call{
		ID:     hub.Identity{Device: args[0]},
		Method: args[1],
		// A device on a mobile network may just be coming back.
		ConnectTimeout:  10 * time.Second,
		ResponseTimeout: 30 * time.Second,
	}
	if len(args) == 3 {
		call.Payload = []byte(args[2])
	}
	answer, err := c.Methods().Invoke(ctx, call)
	switch hub.CodeOf(err) {
	case hub.DeviceNotOnline:
		return fmt.Errorf("nothing was done, try again later: %w", err)
	case hub.GatewayTimeout, hub.ConnectionLost:
		// A call is made once at most. Who calls again must know whether the
		// method may run twice.
		return fmt.Errorf("the device may have done it or not: %w", err)
	default:
		if err != nil {
			return err
		}
	}
	// Whatever the device has answered, it is an answer: 404 is its own word.
	fmt.Printf("status %d: %s\n", answer.Status, answer.Payload)
	return nil
}

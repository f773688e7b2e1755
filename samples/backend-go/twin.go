package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/twin"
)

// writeTwin merges desired properties into a twin, if there are any, and prints
// the twin. What the device makes of them comes later, as reported properties.
func writeTwin(ctx context.Context, c *client.Client, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errUsage
	}
	id := hub.Identity{Device: args[0]}
	// Writing can lose nothing of other writers: a patch is merged. Who computes
	// new values from old ones gives the etag of those in IfMatch, and reads
	// again when that fails with PreconditionFailed.
	if len(args) == 2 {
		patch, err := json.Marshal(map[string]any{
			"properties": map[string]any{"desired": json.RawMessage(args[1])},
		})
		if err != nil {
			return fmt.Errorf("desired properties %q: %w", args[1], err)
		}
		if _, err := c.Twins().Update(ctx, id, twin.Write{Body: patch, By: "backend-go"}); err != nil {
			return err
		}
	}
	t, err := c.Twins().Get(ctx, id)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("print the twin: %w", err)
	}
	fmt.Printf("%s\n", text)
	return nil
}

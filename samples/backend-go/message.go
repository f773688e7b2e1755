package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/c2d"
)

// sendMessage puts a message into the queue of a device, which gets it when it
// is there, and waits for the feedback.
func sendMessage(ctx context.Context, hub *client.Client, args []string) error {
	if len(args) != 2 {
		return errUsage
	}
	const life = time.Minute
	sent, err := hub.C2D().Send(ctx, c2d.Message{
		Device:     args[0],
		Body:       []byte(args[1]),
		Properties: map[string]string{"from": "backend-go"},
		Expires:    time.Now().Add(life), // a device that is away longer need not hear of it
		Ack:        c2d.AckFull,          // tell of success and of failure
	})
	if err != nil {
		return err
	}
	fmt.Println("queued:", sent.MessageID)
	// That a message has expired is found out within two minutes.
	ctx, cancel := context.WithTimeout(ctx, life+3*time.Minute)
	defer cancel()
	// From the start, for the feedback may be there already. An app that sends
	// much has one durable consumer for the feedback of all its messages.
	o := client.FeedbackOptions{Device: args[0], FromStart: true}
	err = hub.C2D().Feedback(ctx, o, func(f c2d.Feedback) error {
		if f.OriginalMessageID != sent.MessageID {
			return nil
		}
		fmt.Println("feedback:", f.Status)
		return client.ErrStop
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("nothing is known of message " + sent.MessageID + " yet")
	}
	return err
}

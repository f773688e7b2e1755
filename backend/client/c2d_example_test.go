package client_test

import (
	"context"
	"fmt"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/c2d"
)

func ExampleC2D_Send() {
	hub, err := client.Connect(client.Options{CredsFile: "hub.creds"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hub.Close()
	ctx := context.Background()
	m, err := hub.C2D().Send(ctx, c2d.Message{
		Device: "dev1", Body: []byte(`{"light":"on"}`), ContentType: "application/json", Ack: c2d.AckFull,
		Properties: map[string]string{"room": "kitchen"},
	})
	if err != nil {
		fmt.Println(err) // for example that the queue of the device is full
		return
	}
	err = hub.C2D().Feedback(ctx, client.FeedbackOptions{Device: "dev1", FromStart: true}, func(f c2d.Feedback) error {
		if f.OriginalMessageID != m.MessageID {
			return nil
		}
		fmt.Println(f.Status)
		return client.ErrStop
	})
	if err != nil {
		fmt.Println(err)
	}
}

package backend

import (
	"context"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// TestDeletionWhoseCallerGoesAway: who asks for a deletion goes away when it has begun. The
// next device of the name must not get the messages of the one before.
func TestDeletionWhoseCallerGoesAway(t *testing.T) {
	t.Parallel()
	b, r := withDevice(t)
	registry := &identity.Registry{Store: b.Devices()}
	left := 0
	for range 30 {
		publish(t, b, "dev-1", "old")
		ctx, cancel := context.WithCancel(testContext(t))
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for {
				if _, err := b.Devices().Get(testContext(t), r.ID); hub.CodeOf(err) == hub.DeviceNotFound {
					cancel() // the client of the API hangs up
					return
				}
			}
		}()
		err := registry.Delete(ctx, r.ID, "*")
		<-gone
		if _, err2 := registry.Create(testContext(t), identity.Record{ID: r.ID}); err2 != nil {
			t.Fatal(err, err2)
		}
		if m, err := b.C2D().Store.Next(testContext(t), "dev-1", 0); err != nil || m.Sequence != 0 {
			left++
			if _, err := b.queues.Purge(testContext(t), "dev-1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if left > 0 {
		t.Errorf("%d of 30 times the device that was created again had the message to the one before", left)
	}
}

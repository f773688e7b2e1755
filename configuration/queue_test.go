package configuration

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// What is due in a second does not wait for what is due in five minutes.
func TestTheEarlierTimeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		q, id, began := newQueue(ctx), hub.Identity{Device: "d"}, time.Now()
		for _, d := range []time.Duration{longest, retryAfter, longest} {
			q.after(id, d)
		}
		if got, ok := q.take(); !ok || got != id || time.Since(began) != retryAfter {
			t.Errorf("%v, %v after %v", got, ok, time.Since(began))
		}
		q.done(id)
		<-time.After(2 * longest)
		if !q.idle() {
			t.Error("it is looked at twice")
		}
	})
}

package methods

import (
	"testing"
	"testing/synctest"

	"github.com/hubgate/hubgate/hub"
)

// A crew works for as many devices at a time as it may and no more, never twice for
// one, and once more for a device that was woken meanwhile.
func TestCrew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, c := hub.Identity{Device: "a"}, hub.Identity{Device: "b"}, hub.Identity{Device: "c"}
		started := make(chan hub.Identity, 10)
		goOn := map[hub.Identity]chan struct{}{a: make(chan struct{}), b: make(chan struct{}), c: make(chan struct{})}
		w := &crew{limit: 2, work: func(id hub.Identity) {
			started <- id
			<-goOn[id]
		}}
		began := func(want ...hub.Identity) {
			t.Helper()
			synctest.Wait()
			if len(started) != len(want) {
				t.Fatalf("work has begun for %d devices, want %v", len(started), want)
			}
			left := map[hub.Identity]bool{}
			for range want {
				left[<-started] = true
			}
			for _, id := range want {
				if !left[id] {
					t.Errorf("no work has begun for %s", id)
				}
			}
		}
		w.wake(a)
		w.wake(b)
		w.wake(c)
		began(a, b)
		w.wake(a) // while it is worked for
		w.wake(a)
		w.wake(c) // while it is queued
		began()
		if !w.isBusy(a) || !w.isBusy(c) || w.isBusy(hub.Identity{Device: "d"}) {
			t.Error("it does not know whom it works for")
		}
		goOn[b] <- struct{}{}
		began(c)
		goOn[a] <- struct{}{}
		began(a)
		goOn[a] <- struct{}{}
		goOn[c] <- struct{}{}
		began()
		if w.isBusy(a) || w.isBusy(b) || w.isBusy(c) {
			t.Error("it is busy with nothing to do")
		}

		w.wake(b)
		began(b)
		w.wake(b)
		closed := make(chan struct{})
		go func() {
			w.close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("it is closed while work is being done")
		default:
		}
		goOn[b] <- struct{}{}
		<-closed
		w.wake(a)
		began()
	})
}

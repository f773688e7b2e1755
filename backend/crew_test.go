package backend

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// Pieces of work never wait for each other, few goroutines stay when they are
// done, and none when the crew is over.
func TestCrew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newCrew(ctx)
		for round := range 3 {
			const pieces = 3 * maxIdleWorkers
			var begun, done atomic.Int32
			release := make(chan struct{})
			for range pieces {
				c.do(func() {
					begun.Add(1)
					<-release
					done.Add(1)
				})
			}
			synctest.Wait()
			if n := begun.Load(); n != pieces {
				t.Errorf("round %d: %d of %d pieces have begun", round, n, pieces)
			}
			close(release)
			synctest.Wait()
			if n := done.Load(); n != pieces {
				t.Errorf("round %d: %d of %d pieces are done", round, n, pieces)
			}
			if n := c.idle.Load(); n != maxIdleWorkers {
				t.Errorf("round %d: %d goroutines wait, want %d", round, n, maxIdleWorkers)
			}
		}
		cancel()
		c.wait()
		ended := false
		c.do(func() { ended = true }) // one that comes too late is done, and nobody stays
		c.wait()
		if n := c.idle.Load(); n != 0 || !ended {
			t.Errorf("%d goroutines wait, and the last piece is done: %v", n, ended)
		}
	})
}

package gateway

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// resting is how many workers are idle.
func (w *workers) resting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.idle)
}

// A worker that was chosen for a task has it, though its patience ends meanwhile.
func TestWorkerIsChosenAsItGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkers()
		w.start(func() {})
		synctest.Wait()
		chosen := w.choose()
		<-time.After(2 * workerPatience)
		ran := false
		chosen <- func() { ran = true }
		synctest.Wait()
		if !ran {
			t.Error("the worker has gone without its task")
		}
		w.stop()
	})
}

// Every task is run at once, however many there are, and a few workers stay for a
// moment for those that come next.
func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkers()
		const tasks = maxIdleWorkers + 100
		for range 3 {
			release := make(chan struct{})
			var running, done sync.WaitGroup
			running.Add(tasks)
			done.Add(tasks)
			for range tasks {
				w.start(func() {
					running.Done()
					<-release
					done.Done()
				})
			}
			running.Wait() // none waits for another
			close(release)
			done.Wait()
			synctest.Wait()
			if n := w.resting(); n != maxIdleWorkers {
				t.Errorf("%d workers are idle, want %d", n, maxIdleWorkers)
			}
			<-time.After(workerPatience / 2)
			ran := make(chan struct{})
			w.start(func() { close(ran) })
			<-ran
			synctest.Wait()
			if n := w.resting(); n != maxIdleWorkers {
				t.Errorf("%d workers are idle after a task that one of them should have run, want %d", n, maxIdleWorkers)
			}
			<-time.After(workerPatience / 2)
			synctest.Wait()
			if n := w.resting(); n != 1 {
				t.Errorf("%d workers are idle, want the one that has had something to do", n)
			}
			<-time.After(workerPatience)
			synctest.Wait()
			if n := w.resting(); n != 0 {
				t.Errorf("%d workers are idle after all this time", n)
			}
		}
		w.start(func() {})
		synctest.Wait()
		w.stop() // nobody stays, or the bubble does not end
		late := make(chan struct{})
		w.start(func() { close(late) })
		<-late
	})
}

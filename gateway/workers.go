package gateway

import (
	"slices"
	"sync"
	"time"
)

// workers are goroutines for what is short: the way from a socket to CONNACK, the
// turns of connections, and their end. Their stacks have grown with an earlier
// task, where a new goroutine would have to grow its own, several times. There are
// as many as there were tasks at once a moment ago.
type workers struct {
	mu   sync.Mutex
	idle []chan func() // the last one is the first to work: its stack is in the cache
	over bool          // nobody stays for another task
}

const (
	workerPatience = time.Second // after it an idle worker goes
	maxIdleWorkers = 4096        // the rest go at once: it takes time to find one among many
)

func newWorkers() *workers { return new(workers) }

// start runs a task on its own, and does not wait.
func (w *workers) start(task func()) {
	if idle := w.choose(); idle != nil {
		idle <- task
		return
	}
	go w.work(task)
}

// choose ends the idleness of a worker, to whom a task must be sent; nil: none is idle.
func (w *workers) choose() chan<- func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.idle) - 1
	if last < 0 {
		return nil
	}
	chosen := w.idle[last]
	w.idle = w.idle[:last]
	return chosen
}

// stop sends those home who are idle. Tasks may still come.
func (w *workers) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	for _, idle := range w.idle {
		idle <- nil
	}
	w.idle = nil
}

// work runs a task, and those that come while it is idle.
func (w *workers) work(task func()) {
	tasks := make(chan func(), 1) // who takes it out of idle sends once, and does not wait
	patience := time.NewTimer(workerPatience)
	defer patience.Stop()
	for task != nil {
		task()
		task = nil // an idle worker holds nothing
		if !w.rest(tasks) {
			return
		}
		patience.Reset(workerPatience)
		select {
		case task = <-tasks:
		case <-patience.C:
			if w.leave(tasks) {
				return
			}
			task = <-tasks
		}
	}
}

// rest makes a worker idle, unless enough are.
func (w *workers) rest(tasks chan func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || len(w.idle) >= maxIdleWorkers {
		return false
	}
	w.idle = append(w.idle, tasks)
	return true
}

// leave ends the idleness of a worker, unless choose or stop has: then there is a task.
func (w *workers) leave(tasks chan func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.idle, tasks)
	if i < 0 {
		return false
	}
	w.idle = slices.Delete(w.idle, i, i+1)
	return true
}

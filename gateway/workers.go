package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// workers are goroutines for what is short: the way from a socket to CONNACK, the
// turns of connections, and their end. Their stacks have grown with an earlier
// task, where a new goroutine would have to grow its own, several times. There are
// as many as there are tasks, and a few more for a moment.
type workers struct {
	tasks chan func() // to those who are idle
	idle  atomic.Int32
	over  chan struct{} // closed when nobody stays for another task
	once  sync.Once
}

const (
	maxIdleWorkers = 64
	workerPatience = time.Second // after it an idle worker goes
)

func newWorkers() *workers { return &workers{tasks: make(chan func()), over: make(chan struct{})} }

// start runs a task on its own, and does not wait.
func (w *workers) start(task func()) {
	select {
	case w.tasks <- task:
	default:
		go w.work(task)
	}
}

// stop sends those home who are idle. Tasks may still come.
func (w *workers) stop() { w.once.Do(func() { close(w.over) }) }

// work runs a task, and those that come while it is idle.
func (w *workers) work(task func()) {
	patience := time.NewTimer(workerPatience)
	defer patience.Stop()
	for {
		task()
		task = nil // an idle worker holds nothing
		if w.idle.Add(1) > maxIdleWorkers {
			w.idle.Add(-1)
			return
		}
		patience.Reset(workerPatience)
		select {
		case task = <-w.tasks:
		case <-patience.C:
		case <-w.over:
		}
		w.idle.Add(-1)
		if task == nil {
			return
		}
	}
}

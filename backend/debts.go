package backend

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// debts is what this process owes to devices that have gone, and could not do at
// once: ends of connections that are not stored, wills that are not sent. Each
// is tried again until it is done; what a process that dies still owes is found
// by whoever repairs. It is safe for concurrent use.
type debts struct {
	log  zerolog.Logger
	ctx  context.Context //nolint:containedctx // of all attempts; ends with the process
	stop context.CancelFunc

	open  pending
	mu    sync.Mutex // held while one begins, or the process ends
	slots chan struct{}
	wg    sync.WaitGroup
}

const (
	debtWorkers = 64 // attempts at once
	debtTime    = 4 * requestTimeout
)

func newDebts(log zerolog.Logger) *debts {
	d := &debts{log: log, slots: make(chan struct{}, debtWorkers)}
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d
}

// add has pay called until it returns nil. It does not wait.
func (d *debts) add(what string, pay func(context.Context) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return // the process ends
	}
	d.open.begin()
	d.wg.Go(func() { d.run(what, pay) })
}

// later is add after a while; it is not owed before.
func (d *debts) later(after time.Duration, what string, pay func(context.Context) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return
	}
	d.wg.Go(func() {
		if wait(d.ctx, after) {
			d.add(what, pay)
		}
	})
}

func (d *debts) run(what string, pay func(context.Context) error) {
	defer d.open.end()
	for n := 1; ; n++ {
		err := d.attempt(pay)
		if err == nil {
			return
		}
		e := d.log.Debug()
		if n == 1 {
			e = d.log.Warn()
		}
		e.Err(err).Int("attempt", n).Msg(what + " has to wait; trying until it is done")
		if !wait(d.ctx, backoff(n)) {
			return
		}
	}
}

func (d *debts) attempt(pay func(context.Context) error) error {
	select {
	case d.slots <- struct{}{}:
	case <-d.ctx.Done():
		return d.ctx.Err()
	}
	defer func() { <-d.slots }()
	ctx, cancel := context.WithTimeout(d.ctx, debtTime)
	defer cancel()
	return pay(ctx)
}

// count is how many are open.
func (d *debts) count() int { return d.open.count() }

// wait returns true when nothing is owed, and false when ctx has ended before.
func (d *debts) wait(ctx context.Context) bool { return d.open.wait(ctx) }

// close gives up what is still owed after ctx has ended.
func (d *debts) close(ctx context.Context) {
	d.wait(ctx)
	d.mu.Lock()
	d.stop()
	d.mu.Unlock()
	d.wg.Wait()
}

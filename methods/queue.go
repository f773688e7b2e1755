package methods

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

const (
	sweepInterval = time.Second
	// claimGrace is added to the response timeout of a claim: for what is
	// written afterwards, and for clocks that differ.
	claimGrace = 10 * time.Second
	// deliverAfter is how long a finished command is left to the node that has
	// finished it.
	deliverAfter = 15 * time.Second
	storeTimeout = 10 * time.Second
	maxWorkers   = 512 // devices whose commands run at the same time on a node
	casAttempts  = 5
	storePause   = 200 * time.Millisecond
)

// Reachable is a [Local] that knows whom it can call.
type Reachable interface {
	Local
	// Ready reports whether id is connected here and has subscribed to the
	// method.
	Ready(id hub.Identity, method string) bool
}

// Queue keeps calls for devices that are away, and makes each of them at most
// once when its device has come. Every node runs one; the store's
// compare-and-set decides who makes a call. Set the fields, then call Run.
type Queue struct {
	Node     string // the name of this node
	Local    Reachable
	Devices  Devices
	Commands CommandStore
	Results  Results
	Limits   Limits
	// Report gets what went wrong with a command behind the scenes. It is
	// tried again, or resolved as unknown. nil: nobody is told.
	Report func(c Command, err error)
	Now    func() time.Time // nil: time.Now

	once  sync.Once
	index index
	crew  crew
}

func (q *Queue) init() {
	q.once.Do(func() {
		q.index.reset()
		q.crew.limit, q.crew.work = maxWorkers, q.drain
	})
}

// Run works until ctx ends and then waits for the calls that are being made.
// It returns an error when the store can't be watched any more; then it may be
// called again.
func (q *Queue) Run(ctx context.Context) error {
	q.init()
	q.index.reset()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { q.sweepLoop(ctx) })
	err := q.Commands.Watch(ctx, (*watcher)(q))
	cancel()
	wg.Wait()
	return err
}

// Close begins no more calls and waits for those that are being made.
func (q *Queue) Close() {
	q.init()
	q.crew.close()
}

// watcher is the queue as its store sees it.
type watcher Queue

// Loading implements [Watcher].
func (w *watcher) Loading() { w.index.retell() }

// Stored implements [Watcher].
func (w *watcher) Stored(c Command) {
	q := (*Queue)(w)
	q.index.put(c)
	if c.State == Pending {
		q.wake(c)
	}
}

// Removed implements [Watcher].
func (w *watcher) Removed(c Command) { w.index.drop(c) }

// Loaded implements [Watcher].
func (w *watcher) Loaded() { w.index.load() }

// Ready says that id has connected to this node, or has subscribed to methods.
// It does not block.
func (q *Queue) Ready(id hub.Identity) {
	q.init()
	for _, c := range q.index.of(id) {
		if c.State == Pending {
			q.crew.wake(id)
			return
		}
	}
}

func (q *Queue) wake(c Command) {
	if q.Local.Ready(c.For, c.Method) {
		q.crew.wake(c.For)
	}
}

// Submit stores a call. From then on it is made once, or its result says why
// not. It fails with DeviceNotFound, ModuleNotFound, ArgumentInvalid,
// MessageTooLarge, and QuotaExceeded when too many wait already.
func (q *Queue) Submit(ctx context.Context, o Order) (Command, error) {
	q.init()
	if err := o.Complete(); err != nil {
		return Command{}, err
	}
	generation, err := q.Devices.Generation(ctx, o.ID)
	if err != nil {
		return Command{}, err
	}
	now := q.now()
	c := Command{
		For: o.ID, ID: newID(now), Generation: generation, Method: o.Method, Payload: o.Payload,
		ResponseTimeout: o.ResponseTimeout, ReplyTo: o.ReplyTo, Accepted: now, Expires: now.Add(o.Wait), State: Pending,
		Trace: o.Trace,
	}
	most := Limits{Device: cmp.Or(q.Limits.Device, MaxDeviceCommands), All: cmp.Or(q.Limits.All, MaxWaitingCommands)}
	switch own, all := q.index.admit(c, most); {
	case own >= most.Device:
		return Command{}, hub.Errorf(hub.QuotaExceeded, "%d commands wait for %s already", own, o.ID)
	case all >= most.All:
		return Command{}, hub.Errorf(hub.QuotaExceeded, "%d commands wait in this hub already", all)
	}
	if err := q.Commands.Create(ctx, &c); err != nil {
		q.index.drop(c) // unless it is stored all the same, and has been told
		return Command{}, err
	}
	q.index.put(c)
	q.wake(c)
	return c, nil
}

// Cancel ends a command that has not begun; its result is Cancelled. It fails
// with JobNotFound when there is none, and with PreconditionFailed when it has
// begun: the device may have it.
func (q *Queue) Cancel(ctx context.Context, id hub.Identity, command string) (Command, error) {
	q.init()
	for range casAttempts {
		c, err := q.Commands.Get(ctx, id, command)
		if err != nil {
			return Command{}, err
		}
		switch c.State {
		case Pending:
		case Begun:
			return Command{}, hub.Errorf(hub.PreconditionFailed, "the command %s has begun: it can't be called back", command)
		case Finished:
			fallthrough
		default:
			return Command{}, c.notFound()
		}
		c.finish(Result{Outcome: Cancelled, Code: hub.PreconditionFailed, Message: "the command was cancelled before it began", Time: q.now()})
		err = q.Commands.Update(ctx, &c)
		if err == nil {
			q.settle(c)
			return c, nil
		}
		if hub.CodeOf(err) != hub.PreconditionFailed {
			return Command{}, err
		}
	}
	return Command{}, hub.Errorf(hub.PreconditionFailed, "the command %s changes all the time", command)
}

// Query selects commands for List. The zero value is the first page of all.
type Query struct {
	For   hub.Identity // zero: all
	After string       // the id of the last command of the page before
	Limit int          // 1 to 1000; 0: 1000
}

const maxPage = 1000

// List returns commands that are not finished, the oldest first, without their
// payloads, as this node knows them: another node's latest may be missing for
// an instant. more says that there is a next page. A node that has just started
// reads them first; ctx bounds that.
func (q *Queue) List(ctx context.Context, l Query) (page []Command, more bool, err error) {
	q.init()
	if !q.index.await(ctx) {
		return nil, false, hub.Errorf(hub.ServiceUnavailable, "the commands are not read yet; try again")
	}
	page = q.index.collect(func(c Command) bool {
		return c.State != Finished && c.State != coming && c.ID > l.After && (l.For.Device == "" || l.For == c.For)
	})
	limit := l.Limit
	if limit < 1 || limit > maxPage {
		limit = maxPage
	}
	if len(page) > limit {
		return slices.Clip(page[:limit]), true, nil
	}
	return page, false, nil
}

func (q *Queue) now() time.Time {
	if q.Now != nil {
		return q.Now()
	}
	return time.Now()
}

func (q *Queue) report(c Command, err error) {
	if err != nil && q.Report != nil {
		q.Report(c, err)
	}
}

// gone reports that a command is not what it was: another node was faster.
func gone(err error) bool {
	code := hub.CodeOf(err)
	return code == hub.PreconditionFailed || code == hub.JobNotFound
}

package backend

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// slowDisk is a disk whose syncs a test lets begin and end.
type slowDisk struct {
	begun chan struct{} // receives at the beginning of each sync
	end   chan error    // ends it
}

func newSlowDisk() *slowDisk {
	return &slowDisk{begun: make(chan struct{}), end: make(chan error)}
}

func (d *slowDisk) sync() error {
	d.begun <- struct{}{}
	return <-d.end
}

// serve ends each sync well, until ctx ends.
func (d *slowDisk) serve(ctx context.Context) {
	for {
		select {
		case <-d.begun:
			d.end <- nil
		case <-ctx.Done():
			return
		}
	}
}

// waiting is a call of wait in a goroutine of its own.
func waiting(ctx context.Context, c *commits) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.wait(ctx) }()
	return done
}

// gathers waits until somebody waits for the sync to come.
func gathers(t *testing.T, c *commits) {
	t.Helper()
	until(t, "somebody to wait for the next sync", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.next != nil
	})
}

func closed(t *testing.T, c *commits) {
	t.Helper()
	t.Cleanup(func() { c.close(testContext(t)) })
}

// TestWaitersNeedASyncThatBeginsAfterThem: the one that runs may have passed over
// what they have written.
func TestWaitersNeedASyncThatBeginsAfterThem(t *testing.T) {
	t.Parallel()
	disk := newSlowDisk()
	c := newCommits(disk.sync)
	closed(t, c)
	first := waiting(t.Context(), c)
	<-disk.begun
	var late []<-chan error
	for range 10 {
		late = append(late, waiting(t.Context(), c))
		gathers(t, c)
	}
	disk.end <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	<-disk.begun
	for i, w := range late {
		select {
		case err := <-w:
			t.Errorf("waiter %d had the answer %v of a sync that began before it", i, err)
		default:
		}
	}
	disk.end <- nil
	go disk.serve(t.Context()) // those who have come a little later
	for _, w := range late {
		if err := <-w; err != nil {
			t.Error(err)
		}
	}
}

func TestNobodyWaitsForASyncThatFailed(t *testing.T) {
	t.Parallel()
	disk := newSlowDisk()
	c := newCommits(disk.sync)
	closed(t, c)
	bad := errors.New("input/output error")
	first := waiting(t.Context(), c)
	<-disk.begun
	second := waiting(t.Context(), c)
	gathers(t, c)
	disk.end <- bad
	for name, w := range map[string]<-chan error{"of that sync": first, "of the next one": second, "of later": waiting(t.Context(), c)} {
		if err := <-w; !errors.Is(err, bad) || hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("the waiter %s got %v", name, err)
		}
	}
	if !errors.Is(c.fault(), bad) || !errors.Is(c.trouble(), bad) {
		t.Errorf("fault %v, trouble %v", c.fault(), c.trouble())
	}
	b := &Backbone{commits: c}
	if err := b.Broken(); !errors.Is(err, bad) || !strings.Contains(err.Error(), "start the hub again") || hub.CodeOf(err) == hub.ServiceUnavailable {
		t.Errorf("Broken = %v", err)
	}
}

func TestWaitersHaveTheirOwnTime(t *testing.T) {
	t.Parallel()
	disk := newSlowDisk()
	c := newCommits(disk.sync)
	closed(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	w := waiting(ctx, c)
	<-disk.begun
	cancel()
	if err := <-w; !errors.Is(err, context.Canceled) || hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("a waiter without time got %v", err)
	}
	disk.end <- nil
}

func TestCloseOfCommits(t *testing.T) {
	t.Parallel()
	disk := newSlowDisk()
	c := newCommits(disk.sync)
	running := waiting(t.Context(), c)
	<-disk.begun
	b := &Backbone{commits: c}
	broken := make(chan error, 1)
	go func() { broken <- b.Broken() }()
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.close(testContext(t))
		c.close(testContext(t))
	}()
	<-c.stop
	disk.end <- nil // of the sync that runs; another one would wait for ever
	<-over
	if err := <-running; err != nil {
		t.Errorf("the sync that ran while close was called: %v", err)
	}
	if err := c.wait(t.Context()); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("wait after close = %v", err)
	}
	if err := <-broken; err != nil {
		t.Errorf("Broken = %v after a close without a fault", err)
	}
}

func TestSlowSyncIsTold(t *testing.T) {
	t.Parallel()
	disk := newSlowDisk()
	c := newCommits(disk.sync)
	closed(t, c)
	w := waiting(t.Context(), c)
	<-disk.begun
	if err := c.trouble(); err != nil {
		t.Errorf("a sync that has just begun is trouble: %v", err)
	}
	c.note(time.Now().Add(-2 * slowSync))
	if err := c.trouble(); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("a sync that does not end is %v", err)
	}
	disk.end <- nil
	<-w
	if err := c.trouble(); err != nil {
		t.Errorf("after the sync: %v", err)
	}
}

func TestNoCommits(t *testing.T) {
	t.Parallel()
	var c *commits
	c.close(t.Context())
	if err := errors.Join(c.wait(t.Context()), c.fault(), c.trouble(), (&Backbone{}).Broken()); err != nil {
		t.Error(err)
	}
}

package attack

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// bystanders are devices that publish all the while, one message after the
// other, and must not notice anything.
type bystanders struct {
	g     *target
	stop  context.CancelFunc
	wg    sync.WaitGroup
	all   []*bystander
	ready sync.WaitGroup
}

type bystander struct {
	*device
	acked int
	err   error

	mu    sync.Mutex
	times []time.Duration // from PUBLISH to PUBACK
}

// watch has n devices publish until finish, each pausing after a message.
func watch(t *testing.T, g *target, n int, pause time.Duration) *bystanders {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &bystanders{g: g, stop: cancel}
	t.Cleanup(cancel)
	for i := range n {
		b := &bystander{device: g.create(t, "innocent-"+strconv.Itoa(i))}
		w.all = append(w.all, b)
		p := b.join(t)
		w.ready.Add(1)
		w.wg.Go(func() { b.err = b.run(ctx, p, pause, w.ready.Done) })
	}
	w.ready.Wait()
	return w
}

func (b *bystander) run(ctx context.Context, p *peer, pause time.Duration, ready func()) error {
	ready = sync.OnceFunc(ready)
	defer ready()
	timer := time.NewTicker(pause)
	defer timer.Stop()
	for ctx.Err() == nil {
		begin := time.Now()
		if err := p.publish(b.events(""), strconv.Itoa(b.acked)); err != nil {
			return fmt.Errorf("after %d messages: %w", b.acked, err)
		}
		b.acked++
		ready()
		b.mu.Lock()
		b.times = append(b.times, time.Since(begin))
		b.mu.Unlock()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// p99 takes what was measured since the last call, and returns its 99th
// percentile.
func (w *bystanders) p99() (d time.Duration, n int) {
	var all []time.Duration
	for _, b := range w.all {
		b.mu.Lock()
		all = append(all, b.times...)
		b.times = nil
		b.mu.Unlock()
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)*99/100], len(all)
}

// finish ends the devices, and fails t if one was disturbed or a message is
// missing.
func (w *bystanders) finish(t *testing.T) {
	t.Helper()
	w.stop()
	w.wg.Wait()
	for _, b := range w.all {
		if b.err != nil {
			t.Errorf("%s was disturbed: %v", b.id, b.err)
		}
	}
	first := w.all[0]
	for i, m := range w.g.Messages(t, first.id.String(), first.acked) {
		if want := strconv.Itoa(i); string(m.Data()) != want {
			t.Fatalf("message %d of %s is %.40q", i, first.id, m.Data())
		}
	}
	d, n := w.p99()
	t.Logf("%d innocent devices: the last %d messages had a p99 of %v", len(w.all), n, d)
}

package backend

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubgate/hubgate/backend/subject"
)

// TestFeedGoesOn: a feed that is read hears of its bucket, however long ago it began, and
// goes on after an interruption where it was. One that was away for long begins anew.
func TestFeedGoesOn(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	f := newFeed(b.js, b.devices.bucket, b.cfg.Log)
	var passed atomic.Int64
	f.now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	begun, visited := 0, make(chan string, 100)
	f.begin, f.end = func() { begun++ }, func() {}
	f.visit = func(w written) { visited <- w.key }
	hears := func(n int) {
		create(t, b, device(n))
		for key := range visited {
			if key == subject.Key(device(n)) {
				return
			}
		}
	}
	follow := func(while func()) int {
		ctx, end := context.WithCancelCause(testContext(t))
		done := make(chan error, 1)
		go func() { done <- f.follow(ctx, end) }()
		while()
		end(nil)
		if err := <-done; err != nil {
			t.Error(err)
		}
		return begun
	}
	follow(func() {
		hears(1)
		passed.Add(int64(2 * feedAbsence))
		hears(2)
	})
	if n := follow(func() { hears(3) }); n != 1 {
		t.Errorf("after an interruption it has begun %d times, want once", n)
	}
	passed.Add(int64(2 * feedAbsence))
	if n := follow(func() { hears(4) }); n != 2 {
		t.Errorf("after a long absence it has begun %d times, want twice", n)
	}
}

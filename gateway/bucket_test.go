package gateway

import (
	"sync"
	"testing"
	"time"
)

const second = int64(time.Second)

func TestBucketCharge(t *testing.T) {
	var b bucket
	for i, step := range []struct {
		now, cost, ahead int64
		fresh            bool
	}{
		{100, 10, 10, true},
		{100, 10, 20, false}, // at the same moment
		{110, 5, 15, false},  // ten were made up for
		{125, 1, 1, true},    // all was
		{500, 1000, 50, true},
		{90, 0, 50, false}, // a clock that went back owes no more than the most
	} {
		ahead, fresh := b.charge(step.now, step.cost, 50)
		if ahead != step.ahead || fresh != step.fresh {
			t.Errorf("step %d: %d ahead, fresh %v, want %d, %v", i, ahead, fresh, step.ahead, step.fresh)
		}
	}
}

func TestBucketAllow(t *testing.T) {
	var b bucket
	allowed := 0
	for range 100 {
		if ok, _ := b.allow(second, second/10, second); ok {
			allowed++
		}
	}
	if allowed != 10 {
		t.Errorf("%d of 10 a second passed at once", allowed)
	}
	if ok, _ := b.allow(second+second/10-1, second/10, second); ok {
		t.Error("one passed before there was room")
	}
	if ok, _ := b.allow(second+second/10, second/10, second); !ok {
		t.Error("none passed when there was room")
	}
	b.refund(second / 10)
	if ok, _ := b.allow(second+second/10, second/10, second); !ok {
		t.Error("what was refunded was not there")
	}
	var full bucket
	if ok, fresh := full.allow(0, 100*second, second); !ok || !fresh {
		t.Error("a full bucket refused what is larger than its burst: that would never pass")
	}
}

// Whoever uses one bucket together gets what is there, no more and no less.
func TestBucketIsShared(t *testing.T) {
	var b bucket
	var wg sync.WaitGroup
	passed := make([]int, 8)
	for i := range passed {
		wg.Go(func() {
			for range 1000 {
				if ok, _ := b.allow(second, 1000, 1000*1000); ok {
					passed[i]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range passed {
		sum += n
	}
	if sum != 1000 {
		t.Errorf("%d passed, want 1000", sum)
	}
}

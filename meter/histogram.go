package meter

import (
	"sync/atomic"
	"time"
)

// places is how many bounds a histogram has; one more place is for what is
// beyond the last.
const places = 20

// bounds are the upper bounds of all histograms: from what an embedded NATS
// server needs to the longest that a direct method may take.
//
//nolint:gochecknoglobals // a constant
var bounds = [places]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
}

// Histogram counts durations in fixed steps. The zero value is ready. It is safe
// for concurrent use.
type Histogram struct {
	counts [places + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// Observe counts a duration; less than nothing, which a clock that was set
// back makes, is nothing.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < places && d > bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Durations is what a histogram has counted.
type Durations struct {
	Count uint64
	Sum   float64            // seconds
	Upto  map[float64]uint64 // how many took no longer than so many seconds
}

// Durations returns what was counted so far. What is counted meanwhile may be in
// Count and not in Sum.
func (h *Histogram) Durations() Durations {
	d := Durations{Upto: make(map[float64]uint64, places)}
	for i := range h.counts {
		d.Count += h.counts[i].Load()
		if i < places {
			d.Upto[bounds[i].Seconds()] = d.Count
		}
	}
	d.Sum = time.Duration(h.sum.Load()).Seconds()
	return d
}

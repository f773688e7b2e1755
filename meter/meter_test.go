package meter_test

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/meter"
)

func TestHistogram(t *testing.T) {
	var h meter.Histogram
	for _, d := range []time.Duration{-time.Second, 0, 100 * time.Microsecond, 100*time.Microsecond + 1, time.Second, time.Hour} {
		h.Observe(d)
	}
	got := h.Durations()
	for upto, want := range map[float64]uint64{0.0001: 3, 0.00025: 4, 0.5: 4, 1: 5, 300: 5} {
		if got.Upto[upto] != want {
			t.Errorf("%d took no longer than %g s, want %d", got.Upto[upto], upto, want)
		}
	}
	if got.Count != 6 || len(got.Upto) != 20 || got.Sum < 3601 || got.Sum > 3601.001 {
		t.Errorf("count %d, %d bounds, sum %g", got.Count, len(got.Upto), got.Sum)
	}
}

// The bounds rise: what is found by the first one that fits would be wrong else.
func TestHistogramOfEverything(t *testing.T) {
	var h meter.Histogram
	for d := time.Microsecond; d < 10*time.Minute; d = d * 11 / 10 {
		h.Observe(d)
		before := h.Durations()
		h.Observe(d)
		for upto, n := range h.Durations().Upto {
			if fits := d.Seconds() <= upto; (n > before.Upto[upto]) != fits {
				t.Fatalf("%v counts as no longer than %g s: %v", d, upto, !fits)
			}
		}
	}
}

// The bounds are labels of metrics: alerts and dashboards ask for them by number.
func TestBoundsOfHistograms(t *testing.T) {
	want := []float64{
		0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
		0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
	}
	var h meter.Histogram
	if got := slices.Sorted(maps.Keys(h.Durations().Upto)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOutcomeOfStatus(t *testing.T) {
	for status, want := range map[int]meter.Outcome{
		200: meter.Success, 304: meter.Success, 399: meter.Success,
		400: meter.Refused, 428: meter.Refused, 430: meter.Refused, 499: meter.Refused,
		429: meter.Throttled, 500: meter.Failed, 503: meter.Failed,
	} {
		if got := meter.OutcomeOfStatus(status); got != want {
			t.Errorf("%d is %v, want %v", status, got, want)
		}
	}
}

func TestOperation(t *testing.T) {
	var o meter.Operation
	for _, err := range []error{
		nil, nil, hub.Errorf(hub.DeviceNotFound, "x"), hub.Errorf(hub.Throttled, "x"), hub.Errorf(hub.TooManyJobs, "x"),
		hub.Errorf(hub.ServiceUnavailable, "x"), errors.New("a fault"),
	} {
		o.Done(time.Now(), err)
	}
	got := o.Counts()
	for how, want := range map[string]uint64{"success": 2, "refused": 1, "throttled": 2, "failed": 2} {
		if got.Ended[how] != want {
			t.Errorf("%d %s, want %d", got.Ended[how], how, want)
		}
	}
	if got.Took.Count != 7 || len(got.Ended) != 4 {
		t.Errorf("%d durations, %d outcomes", got.Took.Count, len(got.Ended))
	}
}

func TestCodes(t *testing.T) {
	var c meter.Codes
	c.Add(0)
	c.Add(hub.Unauthorized)
	c.Add(hub.Code(123456))
	got := c.Counts()
	if got[0] != 1 || got[hub.Unauthorized] != 1 || got[hub.ServerError] != 1 {
		t.Errorf("%v", got)
	}
	n := 1
	for range hub.Codes() {
		n++
	}
	for name, counts := range map[string]map[hub.Code]uint64{"some": got, "nothing": new(meter.Codes).Counts()} {
		if len(counts) != n {
			t.Errorf("after %s: %d codes are counted, want %d: one that never came up is 0, not missing", name, len(counts), n)
		}
	}
}

func TestConcurrent(t *testing.T) {
	var o meter.Operation
	var c meter.Codes
	var n meter.Counter
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				o.Add(meter.Success, time.Millisecond)
				c.Add(hub.NotFound)
				n.Add(2)
			}
		})
	}
	wg.Wait()
	if o.Counts().Took.Count != 8000 || c.Counts()[hub.NotFound] != 8000 || n.Load() != 16000 {
		t.Errorf("%d, %d, %d", o.Counts().Took.Count, c.Counts()[hub.NotFound], n.Load())
	}
	if size := unsafe.Sizeof(n); size != 64 {
		t.Errorf("a counter has %d bytes", size)
	}
}

func TestCountingIsFree(t *testing.T) {
	var o meter.Operation
	var c meter.Codes
	var n meter.Counter
	began := time.Now()
	if got := testing.AllocsPerRun(100, func() {
		o.Done(began, nil)
		n.Add(1)
		c.Add(hub.NotFound)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkDone(b *testing.B) {
	var o meter.Operation
	b.ReportAllocs()
	for b.Loop() {
		o.Done(time.Now(), nil)
	}
}

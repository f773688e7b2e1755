package simulate

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts durations in buckets whose width grows with them: 16 for
// each power of two of microseconds, so that a percentile is at most 1/16 too
// high, whatever it is.
const (
	subBuckets = 16
	subBits    = 4
	buckets    = (36 - subBits + 1) * subBuckets // up to 19 hours
)

// histogram is safe for concurrent use.
type histogram struct{ counts [buckets]atomic.Int64 }

func (h *histogram) add(d time.Duration) { h.counts[bucketOf(d)].Add(1) }

func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < subBuckets {
		return int(us)
	}
	shift := bits.Len64(us) - 1 - subBits
	return min((shift+1)*subBuckets+int(us>>shift)-subBuckets, buckets-1)
}

// upper is the end of a bucket.
func upper(i int) time.Duration {
	if i < subBuckets {
		return time.Duration(i+1) * time.Microsecond
	}
	shift := i/subBuckets - 1
	return time.Duration((subBuckets+i%subBuckets+1)<<shift) * time.Microsecond
}

// tally is a histogram at a moment.
type tally [buckets]int64

func (h *histogram) tally() *tally {
	var t tally
	for i := range h.counts {
		t[i] = h.counts[i].Load()
	}
	return &t
}

// since is what came after an earlier tally.
func (t *tally) since(before *tally) *tally {
	var d tally
	for i := range t {
		d[i] = t[i] - before[i]
	}
	return &d
}

func (t *tally) total() int64 {
	var n int64
	for _, c := range t {
		n += c
	}
	return n
}

// percentile is the duration that a share of all has not exceeded, or 0 when
// there is none.
func (t *tally) percentile(share float64) time.Duration {
	total := t.total()
	rank := max(int64(share*float64(total)+0.999999), 1)
	for i, c := range t {
		if rank -= c; rank <= 0 && total > 0 {
			return upper(i)
		}
	}
	return 0
}

// Quantiles are percentiles, in milliseconds.
type Quantiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50Ms"`
	P99   float64 `json:"p99Ms"`
	Max   float64 `json:"maxMs"`
}

func (t *tally) quantiles() Quantiles {
	return Quantiles{t.total(), milliseconds(t.percentile(0.50)), milliseconds(t.percentile(0.99)), milliseconds(t.percentile(1))}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

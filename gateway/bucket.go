package gateway

import "sync/atomic"

// bucket is a token bucket in eight bytes. It holds no tokens but the moment at
// which it will be full again: what is used moves that moment into the future,
// by the time in which the rate brings as much. The zero value is full. It is
// safe for concurrent use. Times are Unix nanoseconds.
type bucket struct{ full atomic.Int64 }

// charge uses cost, the time in which the rate brings as much, whether it is
// there or not. It returns how far ahead of the rate the bucket is now, at most
// most, and whether it was full before.
func (b *bucket) charge(now, cost, most int64) (ahead int64, fresh bool) {
	for {
		old := b.full.Load()
		full := min(max(old, now)+cost, now+most)
		if b.full.CompareAndSwap(old, full) {
			return full - now, old <= now
		}
	}
}

// allow uses cost if the bucket is not more than burst ahead of its rate then,
// and reports whether it was; fresh says that it was full before. A bucket that
// is full allows anything: what is larger than the burst would never pass.
func (b *bucket) allow(now, cost, burst int64) (ok, fresh bool) {
	for {
		old := b.full.Load()
		if old > now && old-now+cost > burst {
			return false, false
		}
		if b.full.CompareAndSwap(old, max(old, now)+cost) {
			return true, old <= now
		}
	}
}

// isFull reports whether nothing is used that the rate has not brought since.
func (b *bucket) isFull(now int64) bool { return b.full.Load() <= now }

// refund takes back what allow has used.
func (b *bucket) refund(cost int64) { b.full.Add(-cost) }

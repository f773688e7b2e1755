package backend

import (
	"math"
	"math/rand/v2"
	"sort"
	"time"
)

const (
	stretchSize = 1 << 10
	// fullEvery is after how long at the latest a message is looked at again,
	// whatever was seen: a look that costs more and finds what nothing else does.
	fullEvery = time.Hour
)

// c2dSeen is what the node that sweeps remembers of the messages it has looked
// at: when the first of each stretch of the stream is due. Messages go in the
// meantime, and none comes but at the end. So nothing is read before it is due.
type c2dSeen struct {
	began     bool
	source    c2dSource
	registry  uint64    // devices that were deleted up to this revision are known
	stretches []stretch // without gaps, in order
	at        uint64    // where a pass has stopped; 0: at the end
}

// c2dSource is where messages were seen.
type c2dSource struct {
	made       time.Time // when the stream was
	reconnects uint64    // to NATS
}

// stretch is a part of the stream: what is behind the stretch before it, up to
// last. Times are in Unix seconds.
type stretch struct {
	last  uint64
	due   int64 // when one of its messages is to be settled; 0: at once
	full  int64 // when all are looked at in any case
	count int   // of messages
}

// forget makes the next sweep begin anew.
func (s *c2dSeen) forget() { *s = c2dSeen{} }

// lookAgain makes the next pass look at everything.
func (s *c2dSeen) lookAgain() { s.stretches, s.at = nil, 0 }

// last is the number up to which messages were seen.
func (s *c2dSeen) last() uint64 {
	if n := len(s.stretches); n > 0 {
		return s.stretches[n-1].last
	}
	return 0
}

// before is the number behind which the i-th stretch begins; behind all of them
// is what is new.
func (s *c2dSeen) before(i int) uint64 {
	if i == 0 {
		return 0
	}
	return s.stretches[i-1].last
}

// start is the index of the stretch where the last pass has stopped.
func (s *c2dSeen) start() int {
	return sort.Search(len(s.stretches), func(i int) bool { return s.stretches[i].last > s.at })
}

// replace puts what a pass has found in the place of what was known: by the index
// of the stretch, that of new ones being the last.
func (s *c2dSeen) replace(found map[int][]stretch) {
	var all []stretch
	for i := range len(s.stretches) + 1 {
		if now, ok := found[i]; ok {
			all = append(all, now...)
		} else if i < len(s.stretches) {
			all = append(all, s.stretches[i])
		}
	}
	s.stretches = all
}

// compact joins small stretches. One without messages is part of the next.
func (s *c2dSeen) compact() {
	var all []stretch
	for _, next := range s.stretches {
		n := len(all)
		switch {
		case next.count == 0:
		case n > 0 && all[n-1].count+next.count <= stretchSize:
			all[n-1] = stretch{
				last: next.last, due: min(all[n-1].due, next.due), full: min(all[n-1].full, next.full),
				count: all[n-1].count + next.count,
			}
		default:
			all = append(all, next)
		}
	}
	s.stretches = all
}

// newStretch begins a stretch whose messages are all looked at now. Looks at
// everything are spread over time.
func newStretch(now time.Time) stretch {
	return stretch{due: math.MaxInt64, full: now.Add(fullEvery/2 + rand.N(fullEvery/2)).Unix()} //nolint:gosec // no secret
}

// add notes a message that was looked at.
func (s *stretch) add(due time.Time) {
	s.count++
	s.due = min(s.due, max(due.Unix()+1, 0)) // not before it
}

// isDue reports whether a message may be due, and whether all are to be looked at:
// also when the clock was far ahead the last time.
func (s *stretch) isDue(now time.Time) (due, full bool) {
	full = s.full <= now.Unix() || s.full > now.Add(fullEvery).Unix()
	return full || s.due <= now.Unix(), full
}

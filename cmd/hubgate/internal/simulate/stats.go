package simulate

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// stats counts what a fleet does. It is safe for concurrent use.
type stats struct {
	connected, opening atomic.Int64 // at the moment
	connects, losses   atomic.Int64
	upsets             atomic.Int64 // connections that the profile has ended

	sent, resent, acked, held   atomic.Int64
	reads, reports              atomic.Int64 // of twins, answered
	desired, methods, mail      atomic.Int64 // that came from the hub
	puback, handshake, comeback histogram

	mu     sync.Mutex
	faults map[string]*Fault
	total  int64
}

// Fault is what went wrong in the same way a number of times.
type Fault struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
	// Example is the first one of them.
	Example string `json:"example"`
}

// fault counts an error of a device.
func (s *stats) fault(device string, err error) {
	reason := reasonOf(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults == nil {
		s.faults = map[string]*Fault{}
	}
	f := s.faults[reason]
	if f == nil {
		f = &Fault{Reason: reason, Example: device + ": " + err.Error()}
		s.faults[reason] = f
	}
	f.Count++
	s.total++
}

// errors returns the faults, the most frequent first.
func (s *stats) errors() (all []Fault, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		all = append(all, *f)
	}
	slices.SortFunc(all, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return all, s.total
}

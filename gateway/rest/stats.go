package rest

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/hubgate/hubgate/meter"
)

// RouteStats is what was asked of one route. Route is its template, such as
// /devices/{id}; what no route takes has none, and the verb "other".
type RouteStats struct {
	Verb, Route string
	Status      map[int]uint64 // how many, by HTTP status
	Took        meter.Durations
}

// requestCounts counts requests by route: there are no more of them than the table
// has, whatever peers send.
type requestCounts struct {
	mu  sync.Mutex
	all map[routeKey]*routeCounter
}

type routeKey struct{ verb, route string }

type routeCounter struct {
	status map[int]uint64
	took   meter.Histogram
}

// add counts a request with its answer.
func (n *requestCounts) add(c *call, status int, s *Server) {
	k := routeKey{verb: "other"}
	if c.route != nil {
		k = routeKey{c.route.verb, c.route.pattern}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[routeKey]*routeCounter{}
	}
	r := n.all[k]
	if r == nil {
		r = &routeCounter{status: map[int]uint64{}}
		n.all[k] = r
	}
	r.status[status]++
	r.took.Observe(s.now().Sub(c.begun))
}

// Stats returns how often each route was asked for so far. A route that nobody
// has asked for is missing.
func (s *Server) Stats() []RouteStats {
	n := &s.counts
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []RouteStats
	for k, r := range n.all {
		all = append(all, RouteStats{k.verb, k.route, maps.Clone(r.status), r.took.Durations()})
	}
	slices.SortFunc(all, func(a, b RouteStats) int { return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Verb, b.Verb)) })
	return all
}

// InFlight is how many requests are worked on, and how many may be.
func (s *Server) InFlight() (now, most int) {
	s.init()
	return len(s.busy), cap(s.busy)
}

// Package monitor shows what a node counts as Prometheus metrics. All of them are
// in one table, from which docs/metrics.md is made. No label ever has the name of
// a device, of a module, or of anything else that peers can make up: the number
// of series is the same for ten devices and for a million.
//
// Nothing is counted here. The parts of a node count by atomic additions, and a
// scrape takes a copy of what they have.
package monitor

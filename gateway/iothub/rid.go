package iothub

import "strings"

// ridOf returns the request id of a topic's query, $rid={rid}[&…], as it was
// sent; empty when there is none.
func ridOf(query string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if rid, ok := strings.CutPrefix(pair, "$rid="); ok {
			return rid
		}
	}
	return ""
}

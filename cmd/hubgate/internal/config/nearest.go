package config

import (
	"slices"
	"strings"
)

// didYouMean ends a message about an unknown name with the nearest known one.
func didYouMean(name string, known []string) string {
	if best := nearest(name, known); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// nearest returns the known name that name was probably meant to be, or "". A
// known path also answers to its beginning and its last key, so that host finds
// hub.host.
func nearest(name string, known []string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	if best != "" {
		return best
	}
	i := slices.IndexFunc(known, func(k string) bool { return strings.HasSuffix(k, "."+name) || strings.HasPrefix(k, name+"_") })
	if i < 0 {
		return ""
	}
	return known[i]
}

// distance is the number of bytes to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

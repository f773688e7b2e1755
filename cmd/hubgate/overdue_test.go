package main

import (
	"maps"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// TestOverdue: a write is due after one whole turn, not before.
func TestOverdue(t *testing.T) {
	a, b := hub.Identity{Device: "a"}, hub.Identity{Device: "b"}
	o := newOverdue()
	o.add(a, 3)
	o.add(a, 2)
	for i, want := range []map[hub.Identity]uint64{{}, {a: 3}, {b: 4}, {}} {
		if got := o.turn(); !maps.Equal(got, want) {
			t.Errorf("turn %d: got %v, want %v", i, got, want)
		}
		if i == 0 {
			o.add(b, 4)
		}
	}
}

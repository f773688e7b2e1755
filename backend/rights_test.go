package backend

import (
	"slices"
	"testing"

	"github.com/hubgate/hubgate/backend/subject"
)

// TestStreamsAreThoseThatAreMade: rights are given by these names.
func TestStreamsAreThoseThatAreMade(t *testing.T) {
	t.Parallel()
	var made []string
	for _, a := range (Config{}).assets() {
		made = append(made, a.want.Name)
	}
	slices.Sort(made)
	if got := (subject.Names{}).Streams(); !slices.Equal(got, made) {
		t.Errorf("Names.Streams has %q, and the hub makes %q", got, made)
	}
}

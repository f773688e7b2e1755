package methods

import (
	"strings"
	"testing"
	"time"
)

func TestCommandIDs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	first, second, later := newID(now), newID(now), newID(now.Add(time.Microsecond))
	if first == second || later <= first || later <= second {
		t.Errorf("ids %s and %s, and then %s", first, second, later)
	}
	for id, want := range map[string]bool{
		first: true, "0": true, "az09": true, strings.Repeat("z", 64): true,
		"": false, strings.Repeat("z", 65): false, "A": false, "a.b": false, "/": false, ":": false, "`": false, "{": false, "é": false, "a b": false, "*": false, ">": false,
	} {
		if ValidCommandID(id) != want {
			t.Errorf("ValidCommandID(%q) = %v", id, !want)
		}
	}
	for outcome, want := range map[Outcome]bool{Answered: true, Failed: true, Expired: true, Cancelled: true, Unknown: true, "": false, "done": false} {
		if outcome.Valid() != want {
			t.Errorf("%q is valid: %v", outcome, !want)
		}
	}
}

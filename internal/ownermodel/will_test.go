package ownermodel

import (
	"strings"
	"testing"
)

func wills() Wills { return Wills{Telemetry: 2, Losses: 2, Crashes: 1} }

// TestWillIsSentOnce lets two nodes send one will, in every order, while the
// device publishes on the same subject.
func TestWillIsSentOnce(t *testing.T) {
	t.Parallel()
	found, err := Search(wills(), 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if found.Violation != nil {
		t.Fatal(found.Violation)
	}
	if found.Settled == 0 {
		t.Error("nothing ever comes to rest")
	}
	t.Logf("%d states, %d of them at rest; the farthest is %d steps away", found.States, found.Settled, found.Depth)
}

func TestEachRuleOfWillsIsNeeded(t *testing.T) {
	want := map[WillRule]string{
		PlaceFirst: willCopied, PlaceByRevision: willCopied, LookBehind: willCopied, PublishBehind: willCopied, RemoveAfter: willMissing,
	}
	for _, rule := range WillRules() {
		t.Run(strings.ReplaceAll(string(rule), " ", "-"), func(t *testing.T) {
			t.Parallel()
			w := wills()
			w.Without = rule
			found, err := Search(w, 1_000_000)
			if err != nil {
				t.Fatal(err)
			}
			if found.Violation == nil || found.Violation.Promise != want[rule] {
				t.Fatalf("without the rule that %s: %v\nwant %q", rule, found.Violation, want[rule])
			}
			t.Logf("%d states; %v", found.States, found.Violation)
		})
	}
}

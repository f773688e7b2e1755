package ownermodel

import (
	"strings"
	"testing"
)

// TestEachRuleIsNeeded leaves one guard out after the other, in the smallest
// world that needs it. A search that could not fail would prove nothing.
func TestEachRuleIsNeeded(t *testing.T) {
	takeover := Protocol{Nodes: 2, Limits: Limits{Connects: 2, Saves: 1, Crashes: 1}}
	pause := Protocol{Nodes: 2, Limits: Limits{Connects: 1, Saves: 1, Pauses: 1}}
	restart := Protocol{Nodes: 2, Limits: Limits{Connects: 2, Crashes: 1, Restarts: 1}}
	loss := Protocol{Nodes: 2, Limits: Limits{Connects: 2, Saves: 1, Losses: 1}}
	want := map[Rule]struct {
		in      Protocol
		promise string
	}{
		ClaimByRevision:   {takeover, untoldEnd},
		SaveByRevision:    {takeover, staleWrite},
		ReleaseByRevision: {loss, staleWrite},
		AgainByEpoch:      {takeover, staleWrite},
		RepairByRevision:  {takeover, wrongRepair},
		RepairMarks:       {pause, mendedWrite},
		RepairByInstance:  {restart, liveRepair},
		RepairWatches:     {takeover, untruePresence},
		WillAfterWrite:    {takeover, willOfOwner},
		WillOnce:          {takeover, willTwice},
		EndsAreListed:     {takeover, untoldEnd},
		NodesSweep:        {loss, untruePresence},
	}
	for _, rule := range Rules() {
		t.Run(strings.ReplaceAll(string(rule), " ", "-"), func(t *testing.T) {
			t.Parallel()
			p := want[rule].in
			p.Without = rule
			found, err := Search(p, 200_000)
			if err != nil {
				t.Fatal(err)
			}
			if found.Violation == nil {
				t.Fatalf("without the rule that %s, no promise is broken in %d states", rule, found.States)
			}
			if found.Violation.Promise != want[rule].promise {
				t.Errorf("without the rule that %s: %v\nwant %q", rule, found.Violation, want[rule].promise)
			}
			t.Logf("%d states; %v", found.States, found.Violation)
		})
	}
}

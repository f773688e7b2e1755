package ownermodel

import (
	"os"
	"testing"
)

// deep makes the searches go through the large worlds too, for minutes.
const deep = "OWNERMODEL_DEEP"

// world is what may happen in a search.
type world struct {
	nodes  uint8
	limits Limits
	deep   bool
}

func worlds() map[string]world {
	return map[string]world{
		"a take-over and a crash":            {nodes: 2, limits: Limits{Connects: 2, Crashes: 1}},
		"a take-over and a lost answer":      {nodes: 2, limits: Limits{Connects: 2, Losses: 1}},
		"one that stands still":              {nodes: 2, limits: Limits{Connects: 1, Saves: 1, Pauses: 1}},
		"one that is cut off":                {nodes: 2, limits: Limits{Connects: 1, Saves: 1, Suspicions: 1, Losses: 1}},
		"one that starts again":              {nodes: 2, limits: Limits{Connects: 1, Saves: 1, Crashes: 1, Restarts: 1, Losses: 1}},
		"two crashes":                        {nodes: 3, limits: Limits{Connects: 1, Crashes: 2}},
		"a take-over, saves and a crash":     {nodes: 2, limits: Limits{Connects: 2, Saves: 1, Crashes: 1}},
		"a take-over, copies of stray ones":  {nodes: 2, limits: Limits{Connects: 2, Saves: 1, Losses: 1, Copies: 1}, deep: true},
		"a crash behind one that stands":     {nodes: 3, limits: Limits{Connects: 1, Pauses: 1, Crashes: 1}, deep: true},
		"a take-over from one that is still": {nodes: 2, limits: Limits{Connects: 2, Pauses: 1}, deep: true},
		"a take-over from one that is cut":   {nodes: 2, limits: Limits{Connects: 2, Suspicions: 1}, deep: true},
		"a take-over and a restart":          {nodes: 2, limits: Limits{Connects: 2, Crashes: 1, Restarts: 1}, deep: true},
		"a take-over, a crash and a loss":    {nodes: 2, limits: Limits{Connects: 2, Crashes: 1, Losses: 1}, deep: true},
		"two take-overs":                     {nodes: 2, limits: Limits{Connects: 3}, deep: true},
		"two take-overs and a crash":         {nodes: 3, limits: Limits{Connects: 3, Crashes: 1}, deep: true},
		"a take-over and two crashes":        {nodes: 3, limits: Limits{Connects: 2, Crashes: 2}, deep: true},
	}
}

// TestPromisesHold visits everything that can happen in a few small worlds.
func TestPromisesHold(t *testing.T) {
	for name, w := range worlds() {
		if w.deep && os.Getenv(deep) == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := Search(Protocol{Nodes: w.nodes, Limits: w.limits}, 20_000_000)
			if err != nil {
				t.Fatal(err)
			}
			if found.Violation != nil {
				t.Fatal(found.Violation)
			}
			if found.Settled == 0 {
				t.Error("nothing ever comes to rest: what is promised in the end was not looked at")
			}
			t.Logf("%d states, %d of them at rest; the farthest is %d steps away", found.States, found.Settled, found.Depth)
		})
	}
}

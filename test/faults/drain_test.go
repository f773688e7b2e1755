package faults

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
)

// TestDrainUnderLoad drains a node amid publishing clients: each gets the
// acknowledgements of all that is stored, and is closed; the node stays, takes
// nobody, and ends by SIGTERM.
func TestDrainUnderLoad(t *testing.T) {
	g := start(t, hubtest.Options{Flags: []string{"--node", "south"}})
	all, warm := newPublishers(t, g, 50, 16)
	c := begin(t, all, never)
	for range all {
		await(t, "every client to publish", warm)
	}
	var report struct {
		Node   string `json:"node"`
		Closed int    `json:"closed"`
	}
	if err := json.Unmarshal(g.CLI(t, "drain", "--over", "2s", "-o", "json"), &report); err != nil {
		t.Fatal(err)
	}
	if report.Node != "south" || report.Closed != len(all) {
		t.Errorf("drain reports %+v, want %d connections of south", report, len(all))
	}
	c.wg.Wait() // all were closed
	for _, p := range all {
		if p.sessions != 1 || p.ends[0] == nil || !strings.Contains(p.ends[0].Error(), "EOF") && !isClosed(p.ends[0]) {
			t.Errorf("%s ended with %v", p.id, p.ends)
		}
	}
	sum := audit(t, g, all...)
	t.Logf("%v", sum)
	if sum.missing > 0 || sum.duplicates > 0 {
		t.Errorf("%v", sum)
	}
	if _, _, err := all[0].connect(); err == nil {
		t.Error("a drained node lets a device in")
	}
	if r := g.Command(t, "drain", "north"); r.Code != 3 || !strings.Contains(r.Stderr, `"north"`) {
		t.Errorf("draining a node that is not there: %d %s", r.Code, r.Stderr)
	}
	g.Stop(t, syscall.SIGTERM)
}

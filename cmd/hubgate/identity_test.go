package main

import (
	"bytes"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// TestIdentityInTables: what somebody has written as a reason neither speaks to the
// terminal nor breaks the table.
func TestIdentityInTables(t *testing.T) {
	t.Parallel()
	r := identity.Record{ID: hub.Identity{Device: "pump"}, Status: identity.StatusDisabled, StatusReason: "lost\n\x1b[2Jand\tfound"}
	const want = `lost\n\x1b[2Jand\tfound`
	var list, one bytes.Buffer
	if err := writeTable(&list, headOf(devices), []row{rowOf(r)}); err != nil {
		t.Fatal(err)
	}
	if err := writePairs(&one, pairsOf(r)); err != nil {
		t.Fatal(err)
	}
	wantAll(t, list.String(), "disabled", want)
	wantAll(t, one.String(), "Status reason  "+want)
}

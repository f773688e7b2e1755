package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// TestConditionsAreCounted makes configurations with conditions in all the forms
// that are taken, and has each count what it selects.
func TestConditionsAreCounted(t *testing.T) {
	t.Parallel()
	n := configuredNode(t, serveNATS(t))
	createDevices(t, n, 2)
	if _, err := n.registry.Create(t.Context(), identity.Record{ID: hub.Identity{Device: "edge"}, Edge: true}); err != nil {
		t.Fatal(err)
	}
	const (
		devices = `{"deviceContent":{}}`
		modules = `{"moduleContent":{}}`
		edge    = `{"modulesContent":{}}`
	)
	for i, tc := range []struct {
		condition, content string
		want               int
	}{
		{"*", devices, 3},
		{"", devices, 0},
		{" \t\n", devices, 0},
		{"deviceId = 'd0'", devices, 1},
		{"WHERE deviceId = 'd0'", devices, 1},
		{"WHERE(deviceId = 'd0')", devices, 1},
		{"FROM devices WHERE(deviceId = 'd0')", devices, 1},
		{"FROM devices", devices, 3},
		{"FROM devices;", devices, 3},
		{"FROM devices.modules", modules, 2},
		{"FROM devices . modules WHERE moduleId = '$edgeHub'", modules, 1},
		{"FROM devices.modules\nWHERE moduleId = '$edgeHub' OR deviceId = 'd0';", modules, 1},
		{"deviceId = 'edge' OR deviceId = 'd0';", edge, 1},
		{"deviceId = 'd1' OR deviceId = 'd0'", edge, 0},
		{"*", edge, 1},
	} {
		id := fmt.Sprint("c", i)
		putConfiguration(t, n, id, "", fmt.Sprintf(`{"targetCondition":%q,"content":%s}`, tc.condition, tc.content))
		c, err := n.configs.Get(t.Context(), id)
		if err != nil || c.System.Results["targetedCount"] != tc.want {
			t.Errorf("%.60s: %.200q counts %d, want %d; %v", tc.condition, c.System.Queries["targetedCount"], c.System.Results["targetedCount"], tc.want, err)
		}
	}
}

// TestTooLongCondition: a condition that is taken fits into the queries of the
// metrics.
func TestTooLongCondition(t *testing.T) {
	t.Parallel()
	n := configuredNode(t, serveNATS(t))
	for length := 8100; length <= 8192; length++ {
		condition := "is_defined(tags.or) AND tags.a = ''"
		condition = strings.Replace(condition, "''", "'"+strings.Repeat("x", length-len(condition))+"'", 1)
		c, err := configuration.Parse("c", fmt.Appendf(nil, `{"targetCondition":%q,"content":{"modulesContent":{}}}`, condition))
		if err != nil {
			t.Fatal(err)
		}
		_, err = n.configs.Put(t.Context(), c, "")
		if hub.CodeOf(err) == hub.InvalidCondition {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.configs.Get(t.Context(), "c"); err != nil {
			t.Fatalf("%d bytes: %v", length, err)
		}
		if err := n.configs.Delete(t.Context(), "c", "*"); err != nil {
			t.Fatal(err)
		}
	}
}

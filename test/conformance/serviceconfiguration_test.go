package conformance

import (
	"slices"
	"strings"
	"testing"
)

// configurationsManaged takes a configuration through its life: it reaches the
// devices of its condition, and those that come later.
func configurationsManaged(t *testing.T, g *gateway, h *hub) {
	fleet := deviceName(t)
	ids := h.fleet(fleet, 2)
	d := watching(g, h, h.one("get", naming(ids[0])), nil)
	id := strings.ToLower(fleet)
	name := args{"configurationId": id}
	c := fields{
		"id": id, "priority": 10, "labels": fields{"made": "here"}, "targetCondition": "tags.fleet = '" + fleet + "'",
		"content": fields{"deviceContent": fields{"properties.desired.climate": fields{"mode": "eco"}}},
		"metrics": fields{"queries": fields{"eco": "SELECT deviceId FROM devices WHERE properties.desired.climate.mode = 'eco'"}},
	}
	made := h.one("createConfiguration", args{"configuration": c})
	if made.text("id") != id || made.text("etag") == "" || made.at("priority") != 10.0 {
		t.Errorf("the new configuration is %v", made)
	}
	h.refused("createConfiguration", args{"configuration": c}, 409, "ConfigurationAlreadyExists")
	d.await("content of the configuration", func(l line) bool { return l.Event == "desired" && l.Data["climate"] != nil })
	got := h.until("two devices that have it", "configuration", name, func(o fields) bool {
		return o.at("systemMetrics.results.targetedCount") == 2.0 && o.at("systemMetrics.results.appliedCount") == 2.0 &&
			o.at("metrics.results.eco") == 2.0
	})
	twin := h.until("status of the configuration", "twin", naming(ids[1]), func(o fields) bool {
		configurations, _ := o.at("configurations").(map[string]any)
		one, _ := configurations[id].(map[string]any)
		return one["status"] == "Applied" || one != nil && !h.has("status of configurations")
	})
	if got := twin.at("properties.desired.climate.mode"); got != "eco" {
		t.Errorf("the configuration gives %v, want eco", got)
	}
	late := h.fleet(fleet+"-late", 1)[0]
	h.one("patchTwin", naming(late).and(args{"patch": fields{"tags": fields{"fleet": fleet}}}))
	h.until("content for the device that came late", "twin", naming(late), func(o fields) bool {
		return o.at("properties.desired.climate.mode") == "eco"
	})
	configurationChanged(t, g, h, got)
	contentApplied(t, h, fleet)
	d.do("close", "a", nil)
}

// configurationChanged updates, lists and removes a configuration.
func configurationChanged(t *testing.T, g *gateway, h *hub, c fields) {
	t.Helper()
	id := c.text("id")
	c["priority"] = 20
	updated := h.one("updateConfiguration", args{"configuration": c, "conditional": true})
	if updated.at("priority") != 20.0 || updated.text("etag") == c.text("etag") {
		t.Errorf("the updated configuration is %v", updated)
	}
	if slices.Contains(h.conditional, "updateConfiguration") {
		h.refused("updateConfiguration", args{"configuration": c, "conditional": true}, 412, "PreconditionFailed")
	}
	if got := g.show("configuration", "show", id).at("priority"); got != 20.0 {
		t.Errorf("by the CLI the priority is %v, want 20", got)
	}
	if !slices.ContainsFunc(h.many("configurations", nil), func(o fields) bool { return o.text("id") == id }) {
		t.Errorf("the list of configurations is without %s", id)
	}
	if h.has("testQueries") {
		got := h.one("testQueries", args{"queries": fields{
			"targetCondition":     "tags.fleet = ",
			"customMetricQueries": fields{"good": "SELECT deviceId FROM devices", "bad": "SELECT FROM"},
		}})
		errs, _ := got.at("customMetricQueryErrors").(map[string]any)
		if got.text("targetConditionError") == "" || errs["bad"] == nil || errs["good"] != nil && errs["good"] != "" {
			t.Errorf("testQueries gives %v, want errors for the condition and for bad", got)
		}
	}
	h.ask("removeConfiguration", args{"configurationId": id})
	h.refusedAsNode404("configuration", args{"configurationId": id}, "ConfigurationNotFound")
}

// refusedAsNode404 is refused for a 404 that Node's SDK takes for any error: it
// knows devices and hubs that are not found.
func (h *hub) refusedAsNode404(op string, a args, name string) {
	h.t.Helper()
	h.raisesAs(404, map[string]string{"node": "Error"}).refused(op, a, 404, name)
}

// contentApplied gives content to an edge device, and to one that is none.
func contentApplied(t *testing.T, h *hub, id string) {
	t.Helper()
	content := fields{"modulesContent": fields{
		"$edgeAgent": fields{"properties.desired": fields{"schemaVersion": "1.1", "runtime": fields{"type": "docker"}}},
		"$edgeHub":   fields{"properties.desired": fields{"schemaVersion": "1.1"}},
	}}
	h.make(id+"-edge", fields{"capabilities": fields{"iotEdge": true}})
	h.ask("applyConfiguration", args{"deviceId": id + "-edge", "content": content})
	agent := h.one("twin", naming(id+"-edge/$edgeAgent"))
	if got := agent.at("properties.desired.runtime.type"); got != "docker" {
		t.Errorf("$edgeAgent has runtime %v, want docker", got)
	}
	h.make(id+"-plain", nil)
	h.refused("applyConfiguration", args{"deviceId": id + "-plain", "content": content}, 400, "ArgumentInvalid")
}

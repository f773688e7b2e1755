package conformance

import "testing"

const thermostats = "dtmi:com:example:TemperatureController;2"

// digitalTwins reads, patches and commands a device with a model.
func digitalTwins(t *testing.T, g *gateway, h *hub) {
	id := deviceName(t)
	d := watching(g, h, h.make(id, nil), args{"modelId": thermostats})
	d.do("patch", "a", args{"patch": fields{"serial": "A1", "thermostat1": fields{"__t": "c", "maxTemp": 38.5}}})
	got := h.one("digitalTwin", naming(id))
	for path, want := range map[string]any{
		"$dtId": id, "$metadata.$model": thermostats, "serial": "A1", "thermostat1.maxTemp": 38.5,
	} {
		if got := got.at(path); got != want {
			t.Errorf("%s = %v, want %v", path, got, want)
		}
	}
	if got := h.one("twin", naming(id)).text("modelId"); got != thermostats {
		t.Errorf("the twin has the model %q", got)
	}
	h.ask("patchDigitalTwin", naming(id).and(args{"patch": []fields{
		{"op": "add", "path": "/targetTemperature", "value": 21.5},
		{"op": "add", "path": "/thermostat1/target", "value": 42},
	}}))
	l := d.await("notification of the patch", func(l line) bool { return l.Event == "desired" && l.Data["targetTemperature"] == 21.5 })
	component, _ := l.Data["thermostat1"].(map[string]any)
	if component["__t"] != "c" || component["target"] != 42.0 {
		t.Errorf("the device is told of %v, want target 42 of a component", l.Data)
	}
	metadata := h.one("digitalTwin", naming(id)).at("thermostat1.$metadata.target.desiredValue")
	if metadata != 42.0 {
		t.Errorf("desiredValue of the component's target = %v, want 42", metadata)
	}
	h.refusedDigital("patchDigitalTwin", naming(id).and(args{"patch": []fields{{"op": "move", "path": "/a"}}}), 400)
	commanded(t, g, h, id, d)
	if h.has("404 of digital twins") {
		h.refusedDigital("digitalTwin", naming(id+"-none"), 404)
	}
	d.do("close", "a", nil)
}

// commanded runs commands of the root and of a component.
func commanded(t *testing.T, g *gateway, h *hub, id string, d *driver) {
	t.Helper()
	offline := naming(id).and(args{"method": "echo", "payload": 1, "responseTimeout": 5})
	h.refusedDigital("command", offline, 404)
	d.do("subscribe", "a", args{"filter": "methods"})
	g.presence(id, "subscription to methods", func(p session) bool { return p.Has(filterMethods) })
	for name, a := range map[string]args{
		"root":      {"method": "echo"},
		"component": {"method": "echo", "component": "thermostat1"},
	} {
		got := h.one("command", naming(id).and(a).and(args{"payload": fields{"since": "now"}, "responseTimeout": 20}))
		if status := got.at("status"); status != 207.0 && h.name != "python" || got.at("payload.since") != "now" { // which has no status
			t.Errorf("%s: the command gives %v, want 207 with its payload", name, got)
		}
	}
}

// refusedDigital runs an operation of the generated client, whose errors have an
// HTTP status and no class of their own.
func (h *hub) refusedDigital(op string, a args, status int) {
	h.t.Helper()
	class := map[string]string{"node": "Error", "java": "RestException"}
	h.raisesAs(status, class).refused(op, a, status, "")
}

package conformance

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

// statisticsCount compares the counts before and after three devices, of which one
// is kept out and one is connected.
func statisticsCount(t *testing.T, g *gateway, h *hub) {
	before := h.one("statistics", nil)
	id := deviceName(t)
	on := h.make(id+"-1", nil)
	h.make(id+"-2", nil)
	h.make(id+"-3", fields{"status": "disabled"})
	d := h.connect(g, on, nil)
	after := h.one("statistics", nil)
	for name, n := range map[string]float64{
		"totalDeviceCount": 3, "enabledDeviceCount": 2, "disabledDeviceCount": 1, "connectedDeviceCount": 1,
	} {
		if !h.has(name) {
			continue
		}
		was, _ := before.at(name).(float64)
		if is, ok := after.at(name).(float64); !ok || is-was != n {
			t.Errorf("%s went from %v to %v, want %v more", name, before.at(name), after.at(name), n)
		}
	}
	d.do("close", "a", nil)
}

// devicesManaged takes a device through its life, and looks from all sides at each
// step.
func devicesManaged(t *testing.T, g *gateway, h *hub) {
	id := deviceName(t)
	made := h.make(id, nil)
	wantMade(t, h, made)
	h.refused("create", args{"identity": naming(id)}, 409, "DeviceAlreadyExists")
	stored := g.registry("keys", id)
	for _, path := range []string{"generationId", "etag", "authentication.symmetricKey.primaryKey", "authentication.symmetricKey.secondaryKey"} {
		if got, want := made.text(path), stored.text(path); got != want || got == "" {
			t.Errorf("%s is %q by the SDK and %q by NATS", path, got, want)
		}
	}
	if got := g.show("device", "show", id).text("etag"); got != made.text("etag") {
		t.Errorf("etag is %q by the SDK and %q by the CLI", made.text("etag"), got)
	}
	d := h.connect(g, made, args{"noRetry": true})
	got := h.one("get", naming(id))
	if got.text("connectionState") != "Connected" || got.text("etag") != made.text("etag") {
		t.Errorf("of the connected device: connectionState %v, etag %v; want Connected and the etag of its creation %v",
			got.at("connectionState"), got.at("etag"), made.at("etag"))
	}
	keptOut(t, g, h, d, got)
	conditions(t, h, id)
	if h.has("devices") {
		listed := slices.ContainsFunc(h.many("list", nil), func(o fields) bool { return o.text("deviceId") == id })
		if !listed {
			t.Errorf("the list of devices is without %s", id)
		}
	}
	gone(t, g, h, id)
}

// wantMade checks what every new device is.
func wantMade(t *testing.T, h *hub, o fields) {
	t.Helper()
	size := h.keyBytes
	if size == 0 {
		size = 32
	}
	for _, name := range []string{"primaryKey", "secondaryKey"} {
		key, err := base64.StdEncoding.DecodeString(o.text("authentication.symmetricKey." + name))
		if err != nil || len(key) != size {
			t.Errorf("%s has %d bytes, %v; want %d", name, len(key), err, size)
		}
	}
	for path, want := range map[string]any{
		"status": "enabled", "connectionState": "Disconnected", "cloudToDeviceMessageCount": 0.0, "authentication.type": "sas",
		"capabilities.iotEdge": false,
	} {
		if got := o.at(path); got != want {
			t.Errorf("%s of a new device = %v, want %v", path, got, want)
		}
	}
}

// keptOut disables a connected device by the SDK and enables it by the CLI.
func keptOut(t *testing.T, g *gateway, h *hub, d *driver, o fields) {
	t.Helper()
	id := o.text("deviceId")
	updated := h.one("update", args{"identity": o.with(fields{"status": "disabled"})})
	d.await("cut of the disabled device", func(l line) bool { return l.Event == "disconnected" })
	if stored := g.registry("get", id); stored.text("status") != "disabled" || stored.text("etag") != updated.text("etag") {
		t.Errorf("by NATS: status %v, etag %v; want disabled, %v", stored.at("status"), stored.at("etag"), updated.at("etag"))
	}
	if updated.text("etag") == o.text("etag") {
		t.Error("the update has not changed the etag")
	}
	h.until("end of the connection", "get", naming(id), func(o fields) bool { return o.text("connectionState") == "Disconnected" })
	g.cli("device", "enable", id)
	again := h.one("get", naming(id))
	if again.text("status") != "enabled" || again.text("etag") == updated.text("etag") {
		t.Errorf("after the CLI: status %v, etag %v; want enabled and another than %v", again.at("status"), again.at("etag"), updated.at("etag"))
	}
	if diff := cmp.Diff(o.at("authentication"), again.at("authentication")); diff != "" {
		t.Errorf("authentication after the updates (-before +after):\n%s", diff)
	}
}

// conditions writes and removes with an etag that is not the present one.
func conditions(t *testing.T, h *hub, id string) {
	t.Helper()
	kind := "device"
	if strings.Contains(id, "/") {
		kind = "module"
	}
	old := h.one("get", naming(id))
	h.one("update", args{"identity": old})
	if slices.Contains(h.conditional, "update "+kind) {
		h.refused("update", args{"identity": old, "conditional": true}, 412, "PreconditionFailed")
		now := h.one("get", naming(id))
		h.one("update", args{"identity": now, "conditional": true})
	}
	if slices.Contains(h.conditional, "remove "+kind) {
		h.refused("remove", naming(id).and(args{"etag": old.text("etag")}), 412, "PreconditionFailed")
	}
}

// gone removes an identity and looks for it from all sides.
func gone(t *testing.T, g *gateway, h *hub, id string) {
	t.Helper()
	removal := naming(id)
	if strings.Contains(id, "/") && slices.Contains(h.conditional, "remove module") {
		removal["etag"] = h.one("get", naming(id)).text("etag")
	}
	h.ask("remove", removal)
	if strings.Contains(id, "/") {
		h.refusedAsNode404("get", naming(id), "ModuleNotFound")
	} else {
		h.refused("get", naming(id), 404, "DeviceNotFound")
		h.refused("remove", naming(id), 404, "DeviceNotFound")
	}
	_, err := g.ask("hub.registry.get."+hubtest.Key(id), nil, "")
	if r, ok := errors.AsType[refusal](err); !ok || r.code[:3] != "404" {
		t.Errorf("by NATS the removed identity gives %v, want 404", err)
	}
	verb := "deleteDeviceIdentity"
	if strings.Contains(id, "/") {
		verb = "deleteModuleIdentity"
	}
	g.Consume(t, "HUB_EVENTS", "hub.events.lifecycle."+hubtest.Key(id), func(events []jetstream.Msg) bool {
		return slices.ContainsFunc(events, func(m jetstream.Msg) bool { return m.Headers().Get("opType") == verb })
	})
}

// authenticationKept makes devices that prove who they are in each way.
func authenticationKept(t *testing.T, g *gateway, h *hub) {
	one, two := strings.Repeat("0F", 20), strings.Repeat("a1", 32)
	key := base64.StdEncoding.EncodeToString([]byte("sixteen bytes of"))
	for kind, authentication := range map[string]fields{
		"sas":                  {"symmetricKey": fields{"primaryKey": key, "secondaryKey": key}},
		"selfSigned":           {"x509Thumbprint": fields{"primaryThumbprint": one, "secondaryThumbprint": two}},
		"certificateAuthority": {},
	} {
		id := deviceName(t) + "-" + kind
		authentication["type"] = kind
		h.make(id, fields{"authentication": authentication})
		got := h.one("get", naming(id))
		for path, want := range map[string]string{
			"authentication.type":                               kind,
			"authentication.symmetricKey.primaryKey":            authentication.inner("symmetricKey", "primaryKey"),
			"authentication.x509Thumbprint.primaryThumbprint":   authentication.inner("x509Thumbprint", "primaryThumbprint"),
			"authentication.x509Thumbprint.secondaryThumbprint": authentication.inner("x509Thumbprint", "secondaryThumbprint"),
		} {
			if got := got.text(path); got != want {
				t.Errorf("%s: %s = %q, want %q", kind, path, got, want)
			}
		}
		if got := g.registry("get", id).text("authentication.type"); got != kind {
			t.Errorf("%s: by NATS the type is %q", kind, got)
		}
	}
	bad := fields{"type": "sas", "symmetricKey": fields{"primaryKey": "c2hvcnQ=", "secondaryKey": "c2hvcnQ="}}
	h.refused("create", args{"identity": fields{"deviceId": deviceName(t), "authentication": bad}}, 400, "ArgumentInvalid")
}

// inner is a member of a member that a test has written.
func (o fields) inner(outer, name string) string {
	m, _ := o[outer].(fields)
	return m.text(name)
}

// hostileIDs makes identities whose names mean something to URLs.
func hostileIDs(t *testing.T, g *gateway, h *hub) {
	ids := []string{"a-:.+%_#*?!(),=@$'z", "50%25", "%2F", "a+b", "..", "#?"}
	if h.raw {
		ids = []string{"a-:.+_*!(),=@$'z", "a+b"} // the SDK's own limits
	}
	for _, id := range ids {
		id = h.name + id
		h.make(id, nil)
		got := h.one("get", naming(id))
		if got.text("deviceId") != id {
			t.Errorf("device %q has the id %q", id, got.at("deviceId"))
		}
		if got := g.registry("get", id).text("deviceId"); got != id {
			t.Errorf("device %q is %q by NATS", id, got)
		}
		module := id + "/m" + strings.TrimPrefix(id, h.name)
		h.make(module, nil)
		h.one("patchTwin", naming(module).and(args{"patch": fields{"tags": fields{"n": 1}}}))
		if got := h.one("twin", naming(module)).at("tags.n"); got != 1.0 {
			t.Errorf("module %q: tag n = %v, want 1", module, got)
		}
		h.ask("remove", naming(module))
		h.ask("remove", naming(id))
	}
}

// scopesOfEdge makes a device below an edge device.
func scopesOfEdge(t *testing.T, g *gateway, h *hub) {
	id := deviceName(t)
	edge := h.make(id+"-edge", fields{"capabilities": fields{"iotEdge": true}})
	scope := edge.text("deviceScope")
	if !strings.HasPrefix(scope, "ms-azure-iot-edge://"+id+"-edge-") || edge.at("capabilities.iotEdge") != true {
		t.Errorf("edge device: deviceScope %q, iotEdge %v", scope, edge.at("capabilities.iotEdge"))
	}
	leaf := h.make(id+"-leaf", fields{"deviceScope": scope})
	if got := fmt.Sprint(leaf.at("parentScopes")); leaf.text("deviceScope") != scope || got != "["+scope+"]" {
		t.Errorf("leaf: deviceScope %q, parentScopes %s; want both %q", leaf.text("deviceScope"), got, scope)
	}
	if h.has("edge modules") {
		h.wantModules(id+"-edge", "$edgeAgent", "$edgeHub")
	}
	rows := h.rows("SELECT deviceId FROM devices WHERE array_contains(parentScopes, '"+scope+"')", "Raw")
	if len(rows) != 1 || rows[0].text("deviceId") != id+"-leaf" {
		t.Errorf("children of the edge device by query: %v, want %s", rows, id+"-leaf")
	}
}

// wantModules compares the modules of a device.
func (h *hub) wantModules(device string, want ...string) {
	h.t.Helper()
	var names []string
	for _, m := range h.many("list", args{"deviceId": device}) {
		names = append(names, m.text("moduleId"))
	}
	slices.Sort(names)
	if diff := cmp.Diff(want, names); diff != "" {
		h.t.Errorf("modules of %s (-want +got):\n%s", device, diff)
	}
}

// modulesManaged takes a module through its life.
func modulesManaged(t *testing.T, g *gateway, h *hub) {
	id := deviceName(t)
	h.make(id, nil)
	made := h.make(id+"/one", nil)
	if got, want := made.text("etag"), g.registry("get", id+"/one").text("etag"); got != want || got == "" {
		t.Errorf("etag is %q by the SDK and %q by NATS", got, want)
	}
	h.refused("create", args{"identity": naming(id + "/one")}, 409, "ModuleAlreadyExistsOnDevice")
	g.create(id + "/by.cli")
	h.wantModules(id, "by.cli", "one")
	d := h.connect(g, made, nil)
	if got := h.one("get", naming(id+"/one")).text("connectionState"); got != "Connected" {
		t.Errorf("connectionState of the module = %q", got)
	}
	d.do("close", "a", nil)
	conditions(t, h, id+"/one")
	gone(t, g, h, id+"/by.cli")
	h.ask("remove", naming(id))
	_, err := g.ask("hub.registry.get."+hubtest.Key(id+"/one"), nil, "")
	if _, ok := errors.AsType[refusal](err); !ok {
		t.Errorf("the module of a removed device gives %v, want 404", err)
	}
}

// bulkManaged makes, changes and removes devices by the dozen.
func bulkManaged(t *testing.T, g *gateway, h *hub) {
	if !h.has("bulk") {
		return
	}
	id := deviceName(t)
	var all []fields
	for i := range 100 {
		all = append(all, fields{"deviceId": fmt.Sprintf("%s-%02d", id, i), "status": "enabled", "tags": fields{"bulk": h.name}})
	}
	wantBulk(t, h, "create", args{"mode": "create", "identities": all})
	if got := g.registry("get", id+"-99").text("status"); got != "enabled" {
		t.Errorf("by NATS the last device is %q", got)
	}
	if rows := h.rows("SELECT deviceId FROM devices WHERE tags.bulk = '"+h.name+"'", "Raw"); len(rows) != 100 {
		t.Errorf("%d devices by query, want 100", len(rows))
	}
	for _, o := range all[:2] {
		o["status"] = "disabled"
	}
	wantBulk(t, h, "update", args{"mode": "update", "identities": all[:2]})
	if got := h.one("get", naming(id+"-01")).text("status"); got != "disabled" {
		t.Errorf("after the update the device is %q", got)
	}
	stale := all[1].with(fields{"etag": "MQ=="})
	bulkFails(t, h, args{"mode": "update", "identities": []fields{stale}, "conditional": true}, "PreconditionFailed")
	fresh := fields{"deviceId": id + "-more"}
	bulkFails(t, h, args{"mode": "create", "identities": []fields{all[0], fresh}}, "DeviceAlreadyExists")
	h.one("get", naming(id+"-more")) // which stands alone
	all = append(all[1:], fresh)
	wantBulk(t, h, "delete", args{"mode": "delete", "identities": all})
	h.refused("get", naming(id+"-more"), 404, "DeviceNotFound")
}

func wantBulk(t *testing.T, h *hub, what string, a args) {
	t.Helper()
	got := h.one("bulk", a)
	if errs, _ := got.at("errors").([]any); got.at("isSuccessful") != true || len(errs) != 0 {
		t.Errorf("bulk %s = %v", what, got)
	}
}

// bulkFails has one operation of several fail.
func bulkFails(t *testing.T, h *hub, a args, name string) {
	t.Helper()
	if h.name == "node" { // for which 400 is an error
		h.refused("bulk", a, 400, name)
		return
	}
	got := h.one("bulk", a)
	if got.at("isSuccessful") != false || !strings.Contains(fmt.Sprint(got.at("errors")), name) {
		t.Errorf("bulk = %v, want one error %s", got, name)
	}
}

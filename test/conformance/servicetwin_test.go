package conformance

import (
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// twinsManaged reads and writes the twins of a device and of a module, with the
// device, NATS and the CLI on the other side.
func twinsManaged(t *testing.T, g *gateway, h *hub) {
	id := deviceName(t)
	made := h.make(id, nil)
	twinWritten(t, g, h, id, watching(g, h, made, nil))
	module := h.make(id+"/mod", nil)
	twinWritten(t, g, h, id+"/mod", watching(g, h, module, nil))
	h.refused("twin", naming(id+"-none"), 404, "DeviceNotFound")
	h.refused("twin", naming(id+"/none"), 404, "DeviceNotFound")
	h.refused("patchTwin", naming(id).and(args{"patch": fields{"tags": fields{"a.b": 1}}}), 400, "ArgumentInvalid")
	if h.has("twinObject") {
		o := h.one("twinObject", naming(id).and(args{"patch": desired(fields{"object": 1}), "then": desired(fields{"object": 2})}))
		if got := o.at("properties.desired.object"); got != 2.0 {
			t.Errorf("desired by the SDK's Twin = %v, want 2", got)
		}
	}
}

func desired(values fields) fields { return fields{"properties": fields{"desired": values}} }

func twinWritten(t *testing.T, g *gateway, h *hub, id string, d *driver) {
	t.Helper()
	fresh := h.one("twin", naming(id))
	for path, want := range map[string]any{
		"etag": "AAAAAAAAAAE=", "version": 2.0, "connectionState": "Connected",
		"properties.desired.$version": 1.0, "properties.reported.$version": 1.0,
	} {
		if got := fresh.at(path); got != want {
			t.Errorf("%s: %s of a fresh twin = %v, want %v", id, path, got, want)
		}
	}
	patch := desired(fields{"speed": 3.5, "deep": fields{"er": []any{1, "two", fields{"x": nil}}}, "text": "ünï"})
	patch["tags"] = fields{"room": "k1", "drop": 1}
	first := h.one("patchTwin", naming(id).and(args{"patch": patch}))
	d.await("notification of the SDK's write", func(l line) bool { return l.Event == "desired" && l.Data["speed"] == 3.5 })
	g.mustTwin("update", id, `{"tags":{"drop":null},"properties":{"desired":{"nats":true}}}`)
	d.do("patch", "a", args{"patch": args{"battery": 80}})
	got := h.one("twin", naming(id))
	for path, want := range map[string]any{
		"tags.room": "k1", "tags.drop": nil, "properties.desired.nats": true, "properties.desired.deep.er": []any{1.0, "two", map[string]any{"x": nil}},
		"properties.desired.$version": 3.0, "properties.reported.battery": 80.0, "properties.reported.$version": 2.0, "version": 5.0,
	} {
		if diff := cmp.Diff(want, got.at(path)); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", id, path, diff)
		}
	}
	if diff := cmp.Diff(g.mustTwin("get", id, ""), deviceTwin{plainSection(got, "desired"), plainSection(got, "reported")}); diff != "" {
		t.Errorf("%s: the twin by NATS and by the SDK (-NATS +SDK):\n%s", id, diff)
	}
	stale := naming(id).and(args{"patch": desired(fields{"speed": 9}), "etag": first.text("etag")})
	h.refused("patchTwin", stale, 412, "PreconditionFailed")
	stale["etag"] = got.text("etag")
	h.one("patchTwin", stale)
	if h.has("replaceTwin") {
		now := h.one("replaceTwin", naming(id).and(args{"patch": desired(fields{"only": 1})}))
		if tags, _ := now.at("tags").(map[string]any); len(tags) != 0 || len(plainSection(now, "desired")) != 2 {
			t.Errorf("%s: replaced twin has tags %v, desired %v; want none and only", id, tags, now.at("properties.desired"))
		}
		d.await("notification of the replacement", func(l line) bool { return l.Event == "desired" && l.Data["only"] == 1.0 })
	}
	d.do("close", "a", nil)
}

// plainSection is a section of a twin without its metadata.
func plainSection(o fields, name string) map[string]any {
	section, _ := o.at("properties." + name).(map[string]any)
	section = maps.Clone(section)
	delete(section, "$metadata")
	return section
}

// twinRaces has the SDK, NATS and the device write one twin at the same time: no
// write is lost, and of those under the same etag only one succeeds.
func twinRaces(t *testing.T, g *gateway, h *hub) {
	const writers = 12
	id := deviceName(t)
	d := watching(g, h, h.make(id, nil), nil)
	etag := h.one("twin", naming(id)).text("etag")
	var answers, reports, rivals []<-chan line
	var back sync.WaitGroup
	failed := make([]error, writers)
	for i := range writers {
		name := fmt.Sprintf("k%d", i)
		back.Go(func() {
			_, failed[i] = g.twin("update", id, fmt.Sprintf(`{"properties":{"desired":{"nats":{%q:1}}}}`, name))
		})
		answers = append(answers, h.d.begin("patchTwin", "service", naming(id).and(args{"patch": desired(fields{"rest": fields{name: 1}})})))
		reports = append(reports, d.begin("patch", "a", args{"patch": args{"device": args{name: 1}}}))
		rivals = append(rivals, h.d.begin("patchTwin", "service", naming(id).and(args{"patch": fields{"tags": fields{"winner": name}}, "etag": etag})))
	}
	back.Wait()
	for i := range writers {
		if failed[i] != nil {
			t.Errorf("update %d by NATS: %v", i, failed[i])
		}
		if l := h.d.finish("patchTwin", answers[i]); l.Error != nil {
			t.Errorf("update %d by the SDK: %v", i, l.Error)
		}
		if l := d.finish("patch", reports[i]); l.Error != nil {
			t.Errorf("report %d of the device: %v", i, l.Error)
		}
	}
	won := 0
	for _, rival := range rivals {
		if l := h.d.finish("patchTwin", rival); l.Error == nil {
			won++
		} else {
			h.wantRefusal("patchTwin", l.Error, 412, "PreconditionFailed")
		}
	}
	got := h.one("twin", naming(id))
	if name := got.text("tags.winner"); won > 1 || (won == 1) != (name != "") {
		t.Errorf("%d writes under one etag have won, and the tag is %q", won, name)
	}
	for path, want := range map[string]int{"properties.desired.nats": writers, "properties.desired.rest": writers, "properties.reported.device": writers} {
		if values, _ := got.at(path).(map[string]any); len(values) != want {
			t.Errorf("%s has %d values, want %d", path, len(values), want)
		}
	}
	if v := got.at("properties.desired.$version"); v != float64(1+2*writers) {
		t.Errorf("desired $version = %v, want %d", v, 1+2*writers)
	}
}

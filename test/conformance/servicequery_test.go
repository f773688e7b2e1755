package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fleet makes n devices with a tag of the test's own.
func (h *hub) fleet(id string, n int) []string {
	h.t.Helper()
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%02d", id, i))
		h.make(ids[i], nil)
		patch := fields{"tags": fields{"fleet": id, "n": i, "kind": []string{"pump", "valve"}[i%2]}}
		h.one("patchTwin", naming(ids[i]).and(args{"patch": patch}))
	}
	return ids
}

// queried asks for what was written a moment ago, by whom ever.
func queried(t *testing.T, g *gateway, h *hub) {
	id := deviceName(t)
	ids := h.fleet(id, 4)
	where := " WHERE tags.fleet = '" + id + "'"
	for name, c := range map[string]struct {
		query, kind string
		want        []string
	}{
		"twins":       {"SELECT * FROM devices" + where, "Twin", ids},
		"projection":  {"SELECT deviceId, tags.n AS number FROM devices" + where + " AND tags.n >= 2", "Raw", ids[2:]},
		"in":          {"select * from devices where deviceId in ['" + ids[0] + "', '" + ids[3] + "', 'none']", "Twin", []string{ids[0], ids[3]}},
		"starts with": {"SELECT deviceId FROM devices WHERE STARTSWITH(deviceId, '" + id + "-')", "Raw", ids},
		"nothing":     {"SELECT * FROM devices WHERE tags.fleet = 'none'", "Twin", nil},
	} {
		var got []string
		for _, o := range h.rows(c.query, c.kind) {
			got = append(got, o.text("deviceId"))
		}
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", name, c.query, diff)
		}
	}
	counted(t, h, where)
	changesFound(t, g, h, ids[0])
	h.refused("query", args{"query": "SELECT * FROM devices WHERE tags.fleet =", "kind": "Twin"}, 400, "ArgumentInvalid")
	h.refused("query", args{"query": "SELECT * FROM nothing", "kind": "Twin"}, 400, "ArgumentInvalid")
	if text := string(g.cli("query", "SELECT deviceId FROM devices"+where)); strings.Count(text, id+"-") != 4 {
		t.Errorf("hubgate query prints\n%s\nwant four devices", text)
	}
}

// counted asks for groups.
func counted(t *testing.T, h *hub, where string) {
	t.Helper()
	got := map[string]any{}
	for _, o := range h.rows("SELECT tags.kind AS kind, COUNT() AS total, SUM(tags.n) AS sum FROM devices"+where+" GROUP BY tags.kind", "Raw") {
		got[o.text("kind")] = []any{o.at("total"), o.at("sum")}
	}
	want := map[string]any{"pump": []any{2.0, 2.0}, "valve": []any{2.0, 4.0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

// changesFound looks for the writes of the SDK, of NATS, and of a device.
func changesFound(t *testing.T, g *gateway, h *hub, id string) {
	t.Helper()
	finds := func(what, condition string) {
		t.Helper()
		rows := h.rows("SELECT deviceId FROM devices WHERE "+condition+" AND deviceId = '"+id+"'", "Raw")
		if len(rows) != 1 {
			t.Errorf("%s: %d rows for %s, want the device", what, len(rows), condition)
		}
	}
	h.one("patchTwin", naming(id).and(args{"patch": desired(fields{"by": "sdk"})}))
	finds("the SDK's write", "properties.desired.by = 'sdk'")
	g.mustTwin("update", id, `{"properties":{"desired":{"by":"nats"}}}`)
	finds("the write by NATS", "properties.desired.by = 'nats'")
	d := watching(g, h, h.one("get", naming(id)), nil)
	d.do("patch", "a", args{"patch": args{"by": "device"}})
	finds("the device's report", "properties.reported.by = 'device'")
	finds("the connection", "connectionState = 'Connected'")
	d.do("close", "a", nil)
	h.make(id+"/m", nil)
	rows := h.rows("SELECT * FROM devices.modules WHERE devices.deviceId = '"+id+"'", "Twin")
	if len(rows) != 1 || rows[0].text("moduleId") != "m" {
		t.Errorf("modules by query: %v, want m", rows)
	}
}

// queryPages reads a result in pages, and goes on from a token.
func queryPages(t *testing.T, _ *gateway, h *hub) {
	id := deviceName(t)
	ids := h.fleet(id, 7)
	query := args{"query": "SELECT * FROM devices WHERE tags.fleet = '" + id + "'", "kind": "Twin", "pageSize": 3}
	f := h.pages(query)
	var sizes []int
	for _, page := range f.Pages {
		sizes = append(sizes, len(page))
	}
	if diff := cmp.Diff([]int{3, 3, 1}, sizes); diff != "" {
		t.Errorf("sizes of the pages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(ids, deviceIDs(slices.Concat(f.Pages...))); diff != "" {
		t.Errorf("devices over the pages (-want +got):\n%s", diff)
	}
	if f.Continuation != "" {
		t.Errorf("after the last page the token is %q", f.Continuation)
	}
	first := h.pages(query.and(args{"most": 1}))
	if first.Continuation == "" {
		t.Fatal("no token after the first page")
	}
	rest := h.pages(query.and(args{"continuation": first.Continuation, "pageSize": 50}))
	if diff := cmp.Diff(ids[3:], deviceIDs(slices.Concat(rest.Pages...))); diff != "" {
		t.Errorf("devices from the token on (-want +got):\n%s", diff)
	}
	h.refused("query", query.and(args{"continuation": first.Continuation + "x"}), 400, "ArgumentInvalid")
}

func deviceIDs(rows []fields) []string {
	var ids []string
	for _, o := range rows {
		ids = append(ids, o.text("deviceId"))
	}
	return ids
}

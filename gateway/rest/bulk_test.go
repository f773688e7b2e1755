package rest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// bulkOf sends items, and returns the answer with its errors as
// "device: code".
func bulkOf(w *world, status int, body string) (out bulkResult, errs []string) {
	w.Helper()
	res, text := w.ask("POST", "/devices/", body)
	if err := json.Unmarshal([]byte(text), &out); err != nil || res.StatusCode != status {
		w.Fatalf("%s = %d %s, %v, want %d", body, res.StatusCode, text, err, status)
	}
	if out.Errors == nil || out.Warnings == nil || out.Successful != (status == 200) {
		w.Errorf("%s: lists are missing, or it is successful", text)
	}
	for _, name := range []string{"IotHubErrorCode", "iothub-errorcode"} {
		if got := res.Header.Get(name); (got == "BulkRegistryOperationFailure") != (status == 400) {
			w.Errorf("%s is %q", name, got)
		}
	}
	for _, e := range out.Errors {
		errs = append(errs, hub.Identity{Device: e.DeviceID, Module: e.ModuleID}.String()+": "+e.Code)
	}
	return out, errs
}

func TestBulk(t *testing.T) {
	w := newWorld(t)
	if out, _ := bulkOf(w, 200, `[{"id":"a","importMode":"create"},{"id":"b","importMode":"Create","status":"disabled","statusReason":"x"},{"id":"a","moduleId":"m","importMode":"create"}]`); len(out.Errors) > 0 {
		t.Error(out)
	}
	var b struct{ Status, StatusReason, ETag string }
	w.must(200, &b, "GET", "/devices/b", "")
	if b.Status != "disabled" || b.StatusReason != "x" {
		t.Errorf("b is %+v", b)
	}
	// Each item stands alone.
	_, errs := bulkOf(w, 400, `[{"id":"a","importMode":"create"},{"id":"c"},{"id":"d","importMode":"Update"},{"id":"e","importMode":"explode"},{"id":"f","moduleId":"m","importMode":"create"},
		{"id":"b","importMode":"UpdateIfMatchETag","etag":"MQ=="},{"id":"","importMode":"create"},{"id":"a","moduleId":"$x","importMode":"create"}]`)
	want := "a: DeviceAlreadyExists, d: DeviceNotFound, e: ArgumentInvalid, f/m: DeviceNotFound, b: PreconditionFailed, : ArgumentInvalid, a/$x: ArgumentInvalid"
	if got := strings.Join(errs, ", "); got != want {
		t.Errorf("errors are %s, want %s", got, want)
	}
	w.must(200, nil, "GET", "/devices/c", "")
	// The right etag, by both names of Node and Explorer.
	bulkOf(w, 200, `[{"id":"b","importMode":"UpdateIfMatchETag","etag":"`+b.ETag+`","status":"enabled"}]`)
	w.must(200, &b, "GET", "/devices/b", "")
	bulkOf(w, 400, `[{"id":"b","importMode":"deleteIfMatchEtag","eTag":"MQ=="}]`)
	bulkOf(w, 200, `[{"id":"b","importMode":"deleteIfMatchEtag","eTag":"`+b.ETag+`"},{"id":"c","importMode":"deleteIfMatchETag","etag":"*"},{"id":"a","importMode":"Delete"}]`)
	w.must(404, nil, "GET", "/devices/a", "")
	w.must(404, nil, "GET", "/devices/a/modules/m", "")
	if _, errs := bulkOf(w, 400, `[{"id":"a","importMode":"delete"}]`); strings.Join(errs, "") != "a: DeviceNotFound" {
		t.Errorf("%v", errs)
	}
}

// TestBulkTwins gives devices their twins.
func TestBulkTwins(t *testing.T) {
	w := newWorld(t)
	twinOf := func(id string) (text string, etag string) {
		t.Helper()
		got, err := w.api.Twins.Get(t.Context(), hub.Identity{Device: id})
		if err != nil {
			t.Fatal(err)
		}
		return string(got.AppendJSON(nil)), got.ETag
	}
	bulkOf(w, 200, `[{"id":"a","importMode":"create","tags":{"site":"x"},"properties":{"desired":{"n":1},"reported":{"ignored":true}}}]`)
	text, etag := twinOf("a")
	for _, want := range []string{`"tags":{"site":"x"}`, `"n":1`, `"$lastUpdated":"0001-01-01T00:00:00Z","$lastUpdatedVersion":1`, `"$version":1`} {
		if !strings.Contains(text, want) {
			t.Errorf("the twin is %s, want %s in it", text, want)
		}
	}
	bulkOf(w, 200, `[{"id":"a","importMode":"updateTwinIfMatchETag","twinETag":"`+etag+`","tags":{"site":null,"floor":2}}]`)
	if text, _ = twinOf("a"); !strings.Contains(text, `"tags":{"floor":2}`) || !strings.Contains(text, `"n":1`) {
		t.Errorf("the twin is %s", text)
	}
	if _, errs := bulkOf(w, 400, `[{"id":"a","importMode":"updateTwinIfMatchETag","twinETag":"`+etag+`","tags":{}},{"id":"b","importMode":"updateTwin","tags":{}}]`); strings.Join(errs, ", ") != "a: PreconditionFailed, b: DeviceNotFound" {
		t.Errorf("%v", errs)
	}
	if _, errs := bulkOf(w, 400, `[{"id":"a","importMode":"updateTwin","status":"disabled"}]`); strings.Join(errs, ", ") != "a: ArgumentNull" {
		t.Errorf("%v", errs)
	}
	bulkOf(w, 200, `[{"id":"a","importMode":"createOrUpdate","properties":{"desired":{"m":2}}}]`)
	if text, _ = twinOf("a"); strings.Contains(text, "floor") || !strings.Contains(text, `"m":2`) || strings.Contains(text, `"n"`) {
		t.Errorf("replaced is %s", text)
	}
	out, _ := bulkOf(w, 200, `[{"id":"b","importMode":"create","tags":{"$bad":1}}]`)
	if len(out.Warnings) != 1 || out.Warnings[0].DeviceID != "b" || out.Warnings[0].Code != "DeviceRegisteredWithoutTwin" || out.Warnings[0].Status == "" {
		t.Errorf("warnings are %+v", out.Warnings)
	}
	w.must(200, nil, "GET", "/devices/b", "")
}

// TestBulkEdge updates an edge device without its scope, as imports do.
func TestBulkEdge(t *testing.T) {
	w := newWorld(t)
	bulkOf(w, 200, `[{"id":"e","importMode":"create","capabilities":{"iotEdge":true}}]`)
	var before, after struct{ DeviceScope string }
	w.must(200, &before, "GET", "/devices/e", "")
	bulkOf(w, 200, fmt.Sprintf(`[{"id":"e","importMode":"update","capabilities":{"iotEdge":true}},{"id":"leaf","deviceScope":%q}]`, before.DeviceScope))
	w.must(200, &after, "GET", "/devices/e", "")
	if before != after || before.DeviceScope == "" {
		t.Errorf("the scope was %q and is %q", before.DeviceScope, after.DeviceScope)
	}
	var leaf struct{ ParentScopes []string }
	if w.must(200, &leaf, "GET", "/devices/leaf", ""); len(leaf.ParentScopes) != 1 || leaf.ParentScopes[0] != before.DeviceScope {
		t.Errorf("the leaf has %v", leaf.ParentScopes)
	}
}

// TestBulkOrphan imports a leaf again whose parent is gone: createOrUpdate does what
// update does to a device that is there.
func TestBulkOrphan(t *testing.T) {
	w := newWorld(t)
	bulkOf(w, 200, `[{"id":"e","importMode":"create","capabilities":{"iotEdge":true}}]`)
	var edge struct{ DeviceScope string }
	w.must(200, &edge, "GET", "/devices/e", "")
	leaf := fmt.Sprintf(`"id":"leaf","deviceScope":%q`, edge.DeviceScope)
	bulkOf(w, 200, `[{"importMode":"create",`+leaf+`}]`)
	bulkOf(w, 200, `[{"id":"e","importMode":"delete"}]`)
	bulkOf(w, 200, `[{"importMode":"update","status":"disabled",`+leaf+`}]`)
	bulkOf(w, 200, `[{"importMode":"createOrUpdate","status":"enabled",`+leaf+`}]`)
	var got struct{ Status string }
	if w.must(200, &got, "GET", "/devices/leaf", ""); got.Status != "enabled" {
		t.Errorf("the leaf is %s", got.Status)
	}
	if _, errs := bulkOf(w, 400, `[{"importMode":"createOrUpdate","id":"new","deviceScope":"`+edge.DeviceScope+`"}]`); strings.Join(errs, "") != "new: InvalidDeviceScope" {
		t.Errorf("a new leaf: %v", errs)
	}
}

// TestBulkRefused sends what is refused as a whole.
func TestBulkRefused(t *testing.T) {
	w := newWorld(t)
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf(`{"id":"d%d"}`, i)
	}
	for name, tc := range map[string]struct {
		body string
		code hub.Code
		says string
	}{
		"nothing":      {"", hub.ArgumentNull, ""},
		"empty":        {"[]", hub.ArgumentNull, "no device"},
		"no list":      {`{"id":"a"}`, hub.ArgumentInvalid, "object"},
		"too many":     {"[" + strings.Join(many, ",") + "]", hub.TooManyDevices, "101"},
		"twice":        {`[{"id":"a"},{"id":"b"},{"id":"a"}]`, hub.DefinedTwice, "DeviceDefinedMultipleTimes, device ID a"},
		"key twice":    {`[{"id":"a","Id":"b"}]`, hub.ArgumentInvalid, ""},
		"wrong type":   {`[{"id":7}]`, hub.ArgumentInvalid, "/0/id"},
		"wrong keys":   {`[{"id":"a","authentication":{"type":7}}]`, hub.ArgumentInvalid, ""},
		"much too big": {`[{"id":"` + strings.Repeat("x", maxBulkBody) + `"}]`, hub.MessageTooLarge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := w.ask("POST", "/devices", tc.body)
			checkRefusal(t, res, body, tc.code, tc.says)
		})
	}
	if _, body := w.ask("GET", "/devices", ""); body != "[]" {
		t.Errorf("there are %s", body)
	}
	w.must(200, nil, "POST", "/devices", "["+strings.Join(many[:100], ",")+"]")
}

func TestRegenerateKeys(t *testing.T) {
	w := newWorld(t)
	w.must(200, nil, "POST", "/devices", `[{"id":"a"},{"id":"a","moduleId":"m"},{"id":"x","authentication":{"type":"certificateAuthority"}}]`)
	type keys struct {
		Authentication struct {
			SymmetricKey struct{ PrimaryKey, SecondaryKey string }
		}
	}
	var before, after keys
	w.must(200, &before, "GET", "/devices/a", "")
	var out rotation
	w.must(200, &out, "POST", "/devices/keys/regenerate", `{"policyKey":"primaryKey","devices":[{"id":"a"},{"id":"a","moduleId":"m"}]}`)
	w.must(200, &after, "GET", "/devices/a", "")
	if was, is := before.Authentication.SymmetricKey, after.Authentication.SymmetricKey; was.PrimaryKey == is.PrimaryKey || was.SecondaryKey != is.SecondaryKey {
		t.Errorf("the keys were %v and are %v", was, is)
	}
	if len(out.Rotated) != 2 || out.Rotated[0].PrimaryKey != after.Authentication.SymmetricKey.PrimaryKey || out.Rotated[1].ModuleID != "m" || out.PolicyKey != "primaryKey" || len(out.Errors) != 0 {
		t.Errorf("the answer is %+v", out)
	}
	w.must(207, &out, "POST", "/devices/keys/regenerate", `{"policyKey":"both","devices":[{"id":"a"},{"id":"x"},{"id":"nobody"}]}`)
	if len(out.Rotated) != 1 || len(out.Errors) != 2 || out.Errors[0].Code != "ArgumentInvalid" || out.Errors[1].Code != "DeviceNotFound" {
		t.Errorf("the answer is %+v", out)
	}
	res := w.must(400, nil, "POST", "/devices/keys/regenerate", `{"policyKey":"secondaryKey","devices":[{"id":"x"}]}`)
	if got := res.Header.Get("iothub-errorcode"); got != hub.BulkKeysFailed.Name() {
		t.Errorf("iothub-errorcode %q", got)
	}
	for body, code := range map[string]hub.Code{
		`{"policyKey":"third","devices":[{"id":"a"}]}`:              hub.ArgumentInvalid,
		`{"policyKey":"both","devices":[]}`:                         hub.ArgumentNull,
		`{"policyKey":"both","devices":[{"id":"a"},{"id":"a"}]}`:    hub.DefinedTwice,
		`{"policyKey":"both","devices":[{"id":"a"},{"id":"a"}],"x"`: hub.ArgumentInvalid,
	} {
		res, text := w.ask("POST", "/devices/keys/regenerate", body)
		checkRefusal(t, res, text, code, "")
	}
}

// TestBulkItemWithABadTwin: an item whose twin nobody would take changes nothing: no key either.
func TestBulkItemWithABadTwin(t *testing.T) {
	w := newWorld(t)
	var before, after struct {
		ETag           string
		Authentication struct{ SymmetricKey struct{ PrimaryKey string } }
	}
	w.must(200, &before, "PUT", "/devices/d", `{"deviceId":"d"}`)
	bulkOf(w, 400, `[{"id":"d","importMode":"update","status":"enabled","tags":{"a b":1}}]`)
	w.must(200, &after, "GET", "/devices/d", "")
	if before != after {
		t.Errorf("the item has failed, and the device is %+v; it was %+v", after, before)
	}
}

// TestBulkTwinETag: only updateTwinIfMatchETag asks for the etag of a twin; in any other
// mode an item may have that of an export.
func TestBulkTwinETag(t *testing.T) {
	w := newWorld(t)
	const rest = `"id":"d","twinETag":"AAAAAAAAAAA=","tags":{"site":"x"}`
	for _, mode := range []string{"create", "update", "createOrUpdate", "updateIfMatchETag", "createOrUpdateIfMatchETag", "updateTwin"} {
		out, _ := bulkOf(w, 200, `[{"importMode":"`+mode+`",`+rest+`}]`)
		if len(out.Warnings) > 0 {
			t.Errorf("%s: warnings are %+v", mode, out.Warnings)
		}
		got, err := w.api.Twins.Get(t.Context(), hub.Identity{Device: "d"})
		if err != nil || !strings.Contains(string(got.AppendJSON(nil)), `"site":"x"`) {
			t.Errorf("%s: the twin is %s, %v", mode, got.AppendJSON(nil), err)
		}
		bulkOf(w, 200, `[{"importMode":"updateTwin","id":"d","tags":{"site":null}}]`)
	}
}

// TestBulkUpdateIsWhole: an item whose etag is stale changes nothing, not the twin
// either; a module is updated as a device is, and a child that is sent without its parent
// has none.
func TestBulkUpdateIsWhole(t *testing.T) {
	w := newWorld(t)
	twinOf := func(id hub.Identity) string {
		t.Helper()
		got, err := w.api.Twins.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return string(got.AppendJSON(nil))
	}
	var d struct{ ETag, Status, DeviceScope string }
	bulkOf(w, 200, `[{"id":"d","importMode":"create"},{"id":"d","moduleId":"m","importMode":"create"}]`)
	for _, mode := range []string{"updateIfMatchETag", "createOrUpdateIfMatchETag"} {
		_, errs := bulkOf(w, 400, `[{"id":"d","importMode":"`+mode+`","etag":"MQ==","status":"disabled","tags":{"site":"x"}}]`)
		if got := strings.Join(errs, ", "); got != "d: PreconditionFailed" || strings.Contains(twinOf(hub.Identity{Device: "d"}), "site") {
			t.Errorf("%s: %s, and the twin is %s", mode, got, twinOf(hub.Identity{Device: "d"}))
		}
	}
	bulkOf(w, 200, `[{"id":"d","moduleId":"m","importMode":"createOrUpdate","properties":{"desired":{"y":1}}}]`)
	if got := twinOf(hub.Identity{Device: "d", Module: "m"}); !strings.Contains(got, `"y":1`) {
		t.Errorf("the twin of the module is %s", got)
	}
	_, errs := bulkOf(w, 400, `[{"id":"d","importMode":"updateTwin","tags":null,"properties":{"desired":null}}]`)
	if got := strings.Join(errs, ", "); got != "d: ArgumentNull" {
		t.Errorf("an item that says nothing: %s", got)
	}
	var edge struct{ DeviceScope string }
	w.must(200, &edge, "PUT", "/devices/edge", `{"deviceId":"edge","capabilities":{"iotEdge":true}}`)
	bulkOf(w, 200, `[{"id":"child","importMode":"create","deviceScope":"`+edge.DeviceScope+`"}]`)
	if w.must(200, &d, "GET", "/devices/child", ""); d.DeviceScope != edge.DeviceScope || edge.DeviceScope == "" {
		t.Fatalf("the child's scope is %q, its parent's %q", d.DeviceScope, edge.DeviceScope)
	}
	bulkOf(w, 200, `[{"id":"child","importMode":"update"},{"id":"edge","importMode":"update","capabilities":{"iotEdge":true}}]`)
	var child, after struct{ DeviceScope string }
	w.must(200, &child, "GET", "/devices/child", "")
	w.must(200, &after, "GET", "/devices/edge", "")
	if child.DeviceScope != "" || after.DeviceScope != edge.DeviceScope {
		t.Errorf("after updates without a scope the child has %q, and the edge device %q of %q", child.DeviceScope, after.DeviceScope, edge.DeviceScope)
	}
}

// TestBulkErrorsNameTheirDevice: what has failed has the id that was sent, however long
// it may be: by it a back end knows what to send again.
func TestBulkErrorsNameTheirDevice(t *testing.T) {
	w := newWorld(t)
	device, module := strings.Repeat("d", hub.MaxIDLength), strings.Repeat("m", hub.MaxIDLength)
	want := hub.Identity{Device: device, Module: module}.String() + ": DeviceNotFound"
	item := fmt.Sprintf(`{"id":%q,"moduleId":%q,"importMode":"create"}`, device, module)
	if _, errs := bulkOf(w, 400, "["+item+"]"); strings.Join(errs, ", ") != want {
		t.Errorf("errors are %v, want %s", errs, want)
	}
	var out rotation
	w.must(400, &out, "POST", "/devices/keys/regenerate", `{"policyKey":"both","devices":[`+item+`]}`)
	if len(out.Errors) != 1 || out.Errors[0].DeviceID != device || out.Errors[0].ModuleID != module {
		t.Errorf("the answer is %+v", out)
	}
	res, body := w.ask("POST", "/devices", "["+item+","+item+"]")
	checkRefusal(t, res, body, hub.DefinedTwice, "device ID "+device+"/"+module)
	// What is no id is not sent back whole.
	if out, _ := bulkOf(w, 400, fmt.Sprintf(`[{"id":%q}]`, strings.Repeat("x", 1000))); len(out.Errors[0].DeviceID) > 2*hub.MaxIDLength {
		t.Errorf("the answer is %+v", out)
	}
}

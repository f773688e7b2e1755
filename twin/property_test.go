package twin

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
)

// anyValue draws what a patch may hold, as the standard library has it. Few
// keys make patches meet.
func anyValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 6
		if depth > 0 {
			kinds = 8
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0, 1:
			return nil
		case 2:
			return json.Number(rapid.SampledFrom([]string{"0", "-0", "1", "1.0", "1e2", "4503599627370495", "0.10", "1E+3"}).Draw(t, "number"))
		case 3:
			return rapid.Bool().Draw(t, "bool")
		case 4, 5:
			return rapid.StringN(0, 5, 20).Draw(t, "string")
		case 6:
			return rapid.SliceOfN(anyElement(), 0, 3).Draw(t, "array")
		default:
			return anyObject(depth-1).Draw(t, "object")
		}
	})
}

func anyElement() *rapid.Generator[any] {
	return rapid.OneOf(rapid.Just[any](json.Number("7")), rapid.Just[any]("x"), rapid.Just[any](map[string]any{"a": true, "b": nil}))
}

func anyObject(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "é", ""}), anyValue(depth), 0, 4)
}

func text(t *rapid.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// model is merge patch as RFC 7396 writes it.
func model(target any, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	result := map[string]any{}
	if old, ok := target.(map[string]any); ok {
		maps.Copy(result, old)
	}
	for k, v := range p {
		if v == nil {
			delete(result, k)
			continue
		}
		result[k] = model(result[k], v)
	}
	return result
}

// modelSize counts a section as the page on limits says it.
func modelSize(v any) int {
	size := 0
	switch v := v.(type) {
	case map[string]any:
		for k, v := range v {
			size += len([]rune(k)) + modelSize(v)
		}
	case []any:
		for _, v := range v {
			size += modelSize(v)
		}
	case string:
		size = len([]rune(v))
	case json.Number:
		size = 8
	case bool:
		size = 4
	}
	return size
}

func decode(t *rapid.T, b []byte) map[string]any {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}

// TestAnySequence applies any sequence of patches by device and back end, and
// compares with the model after each one.
func TestAnySequence(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc := fresh()
		want := map[string]any{"desired": map[string]any{}, "reported": map[string]any{}, "tags": map[string]any{}}
		for i := range rapid.IntRange(1, 8).Draw(t, "writes") {
			section := rapid.SampledFrom([]string{"desired", "reported", "tags"}).Draw(t, "section")
			patch := anyObject(3).Draw(t, "patch")
			now := created.Add(time.Duration(i+1) * time.Second)
			next, change, err := apply(doc, section, text(t, patch), now)
			if err != nil {
				t.Fatal(err)
			}
			want[section] = model(want[section], patch)
			checkVersions(t, section, doc, next, change)
			checkDocument(t, next, want)
			checkMirror(t, next)
			checkNotification(t, section, doc, next, change)
			again, _, err := apply(next, section, text(t, patch), now)
			if err != nil || !reflect.DeepEqual(userKeys(t, again), userKeys(t, next)) {
				t.Fatalf("the same patch again changes %s to %s", next.AppendJSON(nil), again.AppendJSON(nil))
			}
			if back, err := Parse(next.AppendJSON(nil)); err != nil || !back.Equal(next) {
				t.Fatalf("%s reads back as %s, %v", next.AppendJSON(nil), back.AppendJSON(nil), err)
			}
			doc = next
		}
	})
}

func apply(doc Twin, section string, patch []byte, now time.Time) (Twin, Change, error) {
	if section == "reported" {
		p, err := ParseReported(patch)
		if err != nil {
			return Twin{}, Change{}, err
		}
		return doc.PatchReported(p, 0, now)
	}
	body := `{"tags":` + string(patch) + `}`
	if section == "desired" {
		body = desired(string(patch))
	}
	p, err := ParseUpdate([]byte(body))
	if err != nil {
		return Twin{}, Change{}, err
	}
	return doc.Patch(p, "", now)
}

func checkVersions(t *rapid.T, section string, before, after Twin, c Change) {
	step := func(yes bool) int64 {
		if yes {
			return 1
		}
		return 0
	}
	if got := after.Version - before.Version; got != 1 {
		t.Fatalf("the version moved by %d", got)
	}
	if got := after.DesiredVersion() - before.DesiredVersion(); got != step(section == "desired") {
		t.Fatalf("desired moved by %d with a patch of %s", got, section)
	}
	if got := after.ReportedVersion() - before.ReportedVersion(); got != step(section == "reported") {
		t.Fatalf("reported moved by %d with a patch of %s", got, section)
	}
	if (after.ETag != before.ETag) != (section != "reported") {
		t.Fatalf("the etag went from %s to %s with a patch of %s", before.ETag, after.ETag, section)
	}
	if !json.Valid(c.Event) {
		t.Fatalf("the event is no JSON: %s", c.Event)
	}
}

func userKeys(t *rapid.T, doc Twin) map[string]any {
	device := decode(t, doc.Device())
	all := map[string]any{"desired": device["desired"], "reported": device["reported"], "tags": map[string]any{}}
	if tags, ok := decode(t, doc.AppendJSON(nil))["tags"]; ok {
		all["tags"] = tags
	}
	for _, name := range []string{"desired", "reported"} {
		delete(all[name].(map[string]any), "$version")
	}
	return all
}

func checkDocument(t *rapid.T, doc Twin, want map[string]any) {
	if d := cmp.Diff(want, userKeys(t, doc)); d != "" {
		t.Fatalf("the document is not the merge of all patches (-want +got):\n%s", d)
	}
	s := doc.Sizes()
	for name, got := range map[string]int{"tags": s.Tags, "desired": s.Desired, "reported": s.Reported} {
		if want := modelSize(want[name]); got != want {
			t.Fatalf("%s has the size %d, want %d", name, got, want)
		}
	}
}

// checkMirror holds $metadata to the shape of the document, and marks to their
// time: nothing is older than what it is in would allow.
func checkMirror(t *rapid.T, doc Twin) {
	properties := decode(t, doc.AppendJSON(nil))["properties"].(map[string]any)
	for name, section := range properties {
		values := maps.Clone(section.(map[string]any))
		tree := values["$metadata"].(map[string]any)
		delete(values, "$metadata")
		delete(values, "$version")
		mirror(t, name, values, tree)
	}
}

func mirror(t *rapid.T, path string, v any, tree map[string]any) {
	at, ok := tree["$lastUpdated"].(string)
	if !ok {
		t.Fatalf("%s has no $lastUpdated", path)
	}
	object, _ := v.(map[string]any)
	want := slices.Sorted(maps.Keys(object))
	var got []string
	for _, k := range slices.Sorted(maps.Keys(tree)) {
		if !strings.HasPrefix(k, "$") {
			got = append(got, k)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s has metadata of %q, want %q", path, got, want)
	}
	for k, v := range object {
		kid := tree[k].(map[string]any)
		if parseTime(kid["$lastUpdated"].(string)) > parseTime(at) {
			t.Fatalf("%s.%s is newer than what it is in", path, k)
		}
		mirror(t, path+"."+k, v, kid)
	}
}

// checkNotification applies what the device is told to what it had.
func checkNotification(t *rapid.T, section string, before, after Twin, c Change) {
	if section != "desired" {
		if c.Desired.Version != 0 {
			t.Fatalf("a patch of %s tells the device %s", section, c.Desired.Body)
		}
		return
	}
	told := decode(t, c.Desired.Body)
	if fmt.Sprint(told["$version"]) != fmt.Sprint(c.Desired.Version) {
		t.Fatalf("the notification %s has version %d", c.Desired.Body, c.Desired.Version)
	}
	delete(told, "$version")
	if d := cmp.Diff(userKeys(t, after)["desired"], model(userKeys(t, before)["desired"], told)); d != "" {
		t.Fatalf("the device was told %s (-back end +device):\n%s", c.Desired.Body, d)
	}
}

// TestAnyReplacement checks that a device that merges what it is told has what
// the back end wrote.
func TestAnyReplacement(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first, _, err := apply(fresh(), "desired", text(t, anyObject(3).Draw(t, "before")), later)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParseUpdate([]byte(desired(string(text(t, anyObject(3).Draw(t, "after"))))))
		if err != nil {
			t.Fatal(err)
		}
		next, c, err := first.Replace(p, "", later)
		if err != nil {
			t.Fatal(err)
		}
		device, backend := userKeys(t, first)["desired"], userKeys(t, next)["desired"]
		told := decode(t, c.Desired.Body)
		delete(told, "$version")
		if d := cmp.Diff(backend, model(device, told)); d != "" {
			t.Fatalf("the device was told %s (-back end +device):\n%s", c.Desired.Body, d)
		}
		checkMirror(t, next)
		if next.Version != first.Version+1 || next.DesiredVersion() != first.DesiredVersion()+1 {
			t.Fatalf("got %s", next.AppendJSON(nil))
		}
	})
}

// TestLargeObjects takes the ways that are for many keys.
func TestLargeObjects(t *testing.T) {
	t.Parallel()
	large := map[string]any{}
	for i := range 1000 {
		large[fmt.Sprintf("k%04d", i)] = true
	}
	body, _ := json.Marshal(large)
	a, _, err := fresh().Patch(mustUpdate(t, desired(string(body))), "", later)
	if err != nil {
		t.Fatal(err)
	}
	for k := range large {
		large[k] = nil
	}
	large["k0500"], large["new"] = 1, 2
	body, _ = json.Marshal(large)
	b, _, err := a.Patch(mustUpdate(t, desired(string(body))), "", later)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b.Device()), `{"desired":{"k0500":1,"new":2,"$version":3},"reported":{"$version":1}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzPatch gives requests of any kind to a twin that has something of all.
func FuzzPatch(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":{"b":null}}`, `{"a":[1,{"b":"c"}]}`, `{"a":1e400}`, `{"$version":1,"$metadata":{}}`, `{"a.b":1}`,
		`{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}}}}`, `[`, ` `, `{"a":1,"a":2}`, `{"\u0061":"\ud83d\ude00"}`, `{"a":-0,"b":1.50}`,
	} {
		f.Add(seed)
	}
	for _, n := range []int{9997, 9998, 9999, 10000} {
		f.Add(`{"$metadata":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`)
	}
	f.Add(`{"":{"":""},"a":-0,"b":1e-400,"c":"\u2028<\ud83d\ude00"}`)
	f.Add(`{"a":1},"reported":{"b":[{"$x":1}]`)
	f.Add("\ufeff{}")
	p, err := ParseUpdate([]byte(`{"tags":{"a":{"b":1}},"properties":{"desired":{"a":{"b":1,"c":[2]},"d":"e"}}}`))
	if err != nil {
		f.Fatal(err)
	}
	base, _, err := fresh().Patch(p, "", later)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, patch string) {
		for _, section := range []string{"reported", "desired", "tags"} {
			next, c, err := apply(base, section, []byte(patch), later)
			if err != nil {
				if code := hub.CodeOf(err); code.Status() >= 500 || code == 0 {
					t.Fatalf("%s %q: %v", section, patch, err)
				}
				if !json.Valid(ErrorBody(err, later)) {
					t.Fatalf("%q: the error body is no JSON", patch)
				}
				continue
			}
			if !json.Valid([]byte(patch)) && section != "desired" && section != "tags" {
				t.Fatalf("%q is no JSON", patch)
			}
			if !json.Valid(c.Event) || !json.Valid(next.Device()) {
				t.Fatalf("%q makes the event %s", patch, c.Event)
			}
			if back, err := Parse(next.AppendJSON(nil)); err != nil || !back.Equal(next) || back.Sizes() != next.Sizes() {
				t.Fatalf("%q: %s reads back as %s, %v", patch, next.AppendJSON(nil), back.AppendJSON(nil), err)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(string(fresh().AppendJSON(nil)))
	f.Add(`{"deviceId":"d","etag":"AAAAAAAAAAE=","version":5,"properties":{"desired":{"a":{"b":1},"$metadata":{"a":{}},"$version":4},"reported":{"$version":2}}}`)
	f.Add(`{"deviceId":"d","etag":"AAAAAAAAAAE=","version":5,"properties":{"desired":{"$metadata":{"$lastUpdated":"0000-01-01T00:00:00+23:59"},"$version":4},"reported":{"$version":2}}}`)
	f.Add(`{"deviceId":"d","etag":"AAAAAAAAAAE=","version":5,"properties":{"desired":{"$metadata":{"$lastUpdated":"9999-12-31T23:59:59-23:59"},"$version":4},"reported":{"$version":2}}}`)
	f.Add(`{"deviceId":"d","etag":"AAAAAAAAAAE=","version":5,"properties":{"desired":{"$metadata":{"$lastUpdated":"0000-01-01T00:00:00.12345678Z","$lastUpdatedVersion":-5},"a":{"":[null]},"$version":4},"reported":{"$version":2}}}`)
	f.Add(`{"deviceId":"d","etag":"AAAA\nAAAAAAE=","version":5,"properties":{"desired":{"$metadata":{"$lastUpdatedBy":"x","a":{"$lastUpdatedByDigest":"y"}},"a":{"":null},"b":null,"$version":4},"reported":{"$version":2}}}`)
	f.Add(`{"deviceId":"d","etag":"AAAAAAAAAAE=","version":5,"properties":{"desired":{"a":` + strings.Repeat(`{"a":`, 9996) + "1" + strings.Repeat("}", 9996) + `,"$version":4},"reported":{"$version":2}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse([]byte(text))
		if err != nil {
			return
		}
		again, err := Parse(got.AppendJSON(nil))
		if err != nil {
			t.Fatalf("%q reads as %s, and that does not: %v", text, got.AppendJSON(nil), err)
		}
		if !again.Equal(got) {
			t.Errorf("%q reads as %s and then as %s", text, got.AppendJSON(nil), again.AppendJSON(nil))
		}
	})
}

package digitaltwin

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
)

func TestPatch(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ twin, patch, want string }{
		"a property, as update_digital_twin.js of the Node SDK": {
			device(`{}`, `{}`), `[{"op":"add","path":"/targetTemperature","value":42}]`, `{"targetTemperature":42}`,
		},
		"a property of a component": {
			thermostats, `[{"op":"replace","path":"/thermostat1/targetTemperature","value":42.0}]`, `{"thermostat1":{"__t":"c","targetTemperature":42.0}}`,
		},
		"a property of a component that is not there": {
			device(`{}`, `{}`), `[{"op":"add","path":"/c/a","value":1},{"op":"add","path":"/c/b","value":"x"}]`, `{"c":{"__t":"c","a":1,"b":"x"}}`,
		},
		"the same value again": {
			device(`{"a":1}`, `{}`), `[{"op":"replace","path":"/a","value":1}]`, `{"a":1}`,
		},
		"a component in place of another": {
			device(`{"c":{"__t":"c","a":1,"b":2}}`, `{"c":{"__t":"c","r":5}}`),
			`[{"op":"replace","path":"/c","value":{"b":3,"n":{"x":1},"$metadata":{}}}]`, `{"c":{"__t":"c","a":null,"b":3,"n":{"x":1}}}`,
		},
		"a new component": {
			device(`{}`, `{}`), `[{"op":"add","path":"/c","value":{"$metadata":{},"b":3}}]`, `{"c":{"__t":"c","b":3}}`,
		},
		"an empty component": {
			device(`{"c":{"__t":"c","a":1}}`, `{}`), `[{"op":"replace","path":"/c","value":{"$metadata":{}}}]`, `{"c":{"__t":"c","a":null}}`,
		},
		"an object in place of another": {
			device(`{"o":{"a":1,"b":{"c":1,"d":2}}}`, `{}`), `[{"op":"replace","path":"/o","value":{"b":{"d":3},"e":4}}]`, `{"o":{"b":{"d":3,"c":null},"e":4,"a":null}}`,
		},
		"remove a property":  {device(`{"a":1,"b":2}`, `{}`), `[{"op":"remove","path":"/a"}]`, `{"a":null}`},
		"remove a component": {device(`{"c":{"__t":"c","a":1}}`, `{}`), `[{"op":"remove","path":"/c"}]`, `{"c":null}`},
		"remove one of two": {
			device(`{"c":{"__t":"c","a":1,"b":2}}`, `{}`), `[{"op":"remove","path":"/c/a"}]`, `{"c":{"__t":"c","a":null}}`,
		},
		"remove the last of a component": {
			device(`{"c":{"__t":"c","a":1}}`, `{}`), `[{"op":"remove","path":"/c/a","value":[null]}]`, `{"c":null}`,
		},
		"remove what is not there": {device(`{}`, `{}`), `[{"op":"remove","path":"/c/a"},{"op":"remove","path":"/b"}]`, `{"c":null,"b":null}`},
		"one after another": {
			device(`{"c":{"__t":"c","a":1},"p":{"q":1}}`, `{}`),
			`[{"op":"remove","path":"/c"},{"op":"add","path":"/c/b","value":2},{"op":"remove","path":"/p"},{"op":"add","path":"/p/q","value":2}]`,
			`{"c":{"__t":"c","a":null,"b":2},"p":{"__t":"c","q":2}}`,
		},
		"one of two that are new": {
			device(`{}`, `{}`), `[{"op":"add","path":"/c/a","value":1},{"op":"add","path":"/c/b","value":2},{"op":"remove","path":"/c/a"}]`, `{"c":{"__t":"c","b":2}}`,
		},
		"an unknown member": {device(`{}`, `{}`), ` [ {"op":"add","path":"/a","value":true,"from":{"b":[{}]}} ] `, `{"a":true}`},
		"the longest name": {
			device(`{}`, `{}`), `[{"op":"add","path":"/` + strings.Repeat("a", 64) + `","value":1}]`, `{"` + strings.Repeat("a", 64) + `":1}`,
		},
		"the deepest value": {
			device(`{}`, `{}`), `[{"op":"add","path":"/a","value":` + nested(5) + `}]`, `{"a":` + nested(5) + `}`,
		},
		"the deepest value in a component": {
			device(`{}`, `{}`), `[{"op":"add","path":"/c","value":{"a":` + nested(5) + `,"$metadata":{}}}]`, `{"c":{"__t":"c","a":` + nested(5) + `}}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Patch([]byte(tt.twin), []byte(tt.patch))
			if want := `{"properties":{"desired":` + tt.want + `}}`; err != nil || string(got) != want {
				t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
			}
		})
	}
}

func nested(deep int) string { return strings.Repeat(`{"x":`, deep) + `1` + strings.Repeat(`}`, deep) }

func TestPatchRefused(t *testing.T) {
	t.Parallel()
	twin := device(`{"c":{"__t":"c","a":1},"plain":{"a":1},"both":{"__t":"c"}}`, `{"rc":{"__t":"c","a":1},"rplain":{"x":{"value":1,"ac":200,"av":1}},"both":3}`)
	add := func(path, value string) string {
		return fmt.Sprintf(`[{"op":"remove","path":"/ok"},{"op":"add","path":%q,"value":%s}]`, path, value)
	}
	conformant := func(name string) string {
		return "'" + name + "' exists within the device twin and is not digital twin conformant property. Please refer to aka.ms/dtpatch to update this to be conformant."
	}
	tests := map[string]struct{ patch, want string }{
		"empty":                      {``, "empty"},
		"a space":                    {` `, "empty"},
		"cut":                        {`[{"op":"add"`, "not JSON"},
		"an object":                  {`{"op":"add"}`, "array"},
		"a word":                     {`add`, "not JSON"},
		"no operation":               {`[]`, "no operation"},
		"something behind":           {`[{"op":"remove","path":"/a"}] 1`, "follows"},
		"rubbish behind":             {`[{"op":"remove","path":"/a"}] x`, "not JSON"},
		"not an object":              {`[1]`, "not a JSON object"},
		"null":                       {`[null]`, "not a JSON object"},
		"a key twice":                {`[{"op":"remove","op":"add","path":"/a"}]`, "not JSON"},
		"too many":                   {`[` + strings.Repeat(`{"op":"remove","path":"/a"},`, maxOperations) + `{"op":"remove","path":"/a"}]`, "at most 1000"},
		"another op":                 {`[{"op":"test","path":"/a","value":1}]`, `"test"`},
		"no op":                      {`[{"path":"/a","value":1}]`, "op"},
		"no path":                    {`[{"op":"add","value":1}]`, "path"},
		"the root":                   {add("", "1"), "path"},
		"no slash":                   {add("a", "1"), "path"},
		"three names":                {add("/a/b/c", "1"), "path"},
		"an empty name":              {add("/", "1"), "name"},
		"an empty second name":       {add("/c/", "1"), "name"},
		"metadata":                   {add("/$metadata/a", "1"), "name"},
		"a long name":                {add("/"+strings.Repeat("a", 65), "1"), "64"},
		"a digit in front":           {add("/1a", "1"), "letter"},
		"an underscore at the end":   {add("/a_", "1"), "underscore"},
		"an escape":                  {add("/a~0b", "1"), "name"},
		"the mark of components":     {add("/c/__t", `"c"`), "name"},
		"no value":                   {`[{"op":"add","path":"/a"}]`, "no value"},
		"a null":                     {add("/a", "null"), "never null"},
		"a null inside":              {add("/a", `{"b":null}`), "never null"},
		"an array":                   {add("/a", `[1]`), "array"},
		"an array inside":            {add("/c/a", `{"b":[]}`), "array"},
		"too deep":                   {add("/a", nested(6)), "5 deep"},
		"much too deep":              {add("/a", nested(200)), "5 deep"},
		"too deep in a component":    {add("/c", `{"$metadata":{},"a":`+nested(6)+`}`), "5 deep"},
		"a field with another name":  {add("/a", `{"x.y":1}`), "x.y"},
		"a property of another name": {add("/c", `{"$metadata":{},"x-y":1}`), "x-y"},
		"a full marker":              {add("/c", `{"$metadata":{"a":{}}}`), "$metadata"},
		"a wrong marker":             {add("/c", `{"$metadata":1}`), "$metadata"},
		"no marker":                  {add("/c", `{"a":1}`), `"$metadata":{}`},
		"no marker, reported":        {add("/rc", `1`), `"$metadata":{}`},
		"below a property":           {add("/plain/a", "1"), conformant("plain")},
		"below a reported property":  {add("/rplain/x", "1"), conformant("rplain")},
		"a component over a value":   {add("/plain", `{"$metadata":{}}`), conformant("plain")},
		"remove below a property":    {`[{"op":"remove","path":"/plain/a"}]`, conformant("plain")},
		"the device has a value":     {add("/both/a", "1"), conformant("both")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Patch([]byte(twin), []byte(tt.patch))
			if hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(fmt.Sprint(err), tt.want) || len(fmt.Sprint(err)) > 600 {
				t.Errorf("got %s, %v, want ArgumentInvalid with %q", got, err, tt.want)
			}
		})
	}
}

// TestPatchAgainstMaps applies drawn patches by Patch and merging, and to maps
// of the standard library, one operation after another.
func TestPatchAgainstMaps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		desired, reported := anySection().Draw(t, "desired"), anySection().Draw(t, "reported")
		patch := rapid.SliceOfN(anyOperation(), 1, 6).Draw(t, "patch")
		twin := device(text(t, desired), text(t, reported))
		update, err := Patch([]byte(twin), []byte(text(t, patch)))
		want, ok := model(desired, reported, patch)
		if (err == nil) != ok {
			t.Fatalf("%s on %s: %v, and the model says %v", text(t, patch), twin, err, ok)
		}
		if err != nil {
			return
		}
		var u struct {
			Properties struct{ Desired map[string]any }
		}
		if err := json.Unmarshal(update, &u); err != nil {
			t.Fatalf("%v: %s", err, update)
		}
		got := merge(clone(t, desired), u.Properties.Desired)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s on %s by %s: -want +got\n%s", text(t, patch), twin, update, diff)
		}
	})
}

// A twin that is full of small properties takes no time that grows with their
// square.
func TestManyProperties(t *testing.T) {
	t.Parallel()
	var section, patch strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&section, `,"a%d":{"value":1,"ac":200}`, i)
		if i < maxOperations {
			fmt.Fprintf(&patch, `,{"op":"remove","path":"/c/a%d"}`, i)
		}
	}
	body := `{"c":{"__t":"c"` + section.String() + `}` + section.String() + `}`
	twin := []byte(device(body, body))
	began := time.Now()
	if _, err := Document(twin); err != nil {
		t.Error(err)
	}
	if _, err := Patch(twin, []byte(`[`+patch.String()[1:]+`]`)); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}

func text(t *rapid.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func clone(t *rapid.T, v map[string]any) map[string]any {
	var c map[string]any
	if err := json.Unmarshal([]byte(text(t, v)), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func merge(old, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	next, ok := old.(map[string]any)
	if !ok {
		next = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(next, k)
			continue
		}
		next[k] = merge(next[k], v)
	}
	return next
}

func anyName() *rapid.Generator[string] { return rapid.SampledFrom([]string{"a", "b", "c"}) }

func anyField() *rapid.Generator[any] {
	return rapid.OneOf(
		rapid.Just[any](1.0), rapid.Just[any]("x"), rapid.Just[any](true), rapid.Just[any](map[string]any{}),
		rapid.Just[any](map[string]any{"a": 1.0, "b": map[string]any{"c": 2.0}}), rapid.Just[any](map[string]any{"b": map[string]any{"a": 3.0}}),
	)
}

func anyComponent(key string, mark any) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		c := rapid.MapOfN(anyName(), anyField(), 0, 3).Draw(t, "component")
		c[key] = mark
		return c
	})
}

func anySection() *rapid.Generator[map[string]any] {
	return rapid.MapOfN(anyName(), rapid.OneOf(anyField(), anyComponent("__t", "c"), anyComponent("__t", "c")), 0, 3)
}

func anyOperation() *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		path := "/" + anyName().Draw(t, "name")
		value := rapid.OneOf(anyField(), anyComponent("$metadata", map[string]any{}))
		if rapid.Bool().Draw(t, "inner") {
			path, value = path+"/"+anyName().Draw(t, "inner name"), anyField()
		}
		return map[string]any{
			"op": rapid.SampledFrom([]string{"add", "replace", "remove"}).Draw(t, "op"), "path": path, "value": value.Draw(t, "value"),
		}
	})
}

func isMarked(v any) bool {
	m, ok := v.(map[string]any)
	return ok && m["__t"] == "c"
}

// model applies a patch to a copy of desired; false says that it must be refused.
func model(desired, reported map[string]any, patch []map[string]any) (map[string]any, bool) {
	next := map[string]any{}
	maps.Copy(next, desired)
	for _, o := range patch {
		parts := strings.Split(o["path"].(string), "/")[1:]
		value, isPut := o["value"], o["op"] != "remove"
		given, _ := value.(map[string]any)
		_, marked := given["$metadata"]
		component := len(parts) == 2 || isPut && marked
		for _, side := range []map[string]any{next, reported} {
			there, ok := side[parts[0]]
			if ok && component && !isMarked(there) || ok && isPut && !component && isMarked(there) {
				return nil, false
			}
		}
		fresh := map[string]any{"__t": "c"}
		old, _ := next[parts[0]].(map[string]any)
		switch {
		case len(parts) == 2:
			maps.Copy(fresh, old)
			delete(fresh, parts[1])
			if isPut {
				fresh[parts[1]] = value
			}
			next[parts[0]] = fresh
			if !isPut && len(fresh) == 1 {
				delete(next, parts[0])
			}
		case !isPut:
			delete(next, parts[0])
		case component:
			for k, v := range given {
				if k != "$metadata" {
					fresh[k] = v
				}
			}
			next[parts[0]] = fresh
		default:
			next[parts[0]] = value
		}
	}
	return next, true
}

// FuzzPatch gives patches of any kind to a twin that has something of all.
func FuzzPatch(f *testing.F) {
	for _, seed := range []string{
		`[{"op":"add","path":"/thermostat1","value":{"targetTemperature":1,"$metadata":{}}}]`, `[{"op":"remove","path":"/thermostat1/targetTemperature"}]`,
		`[{"op":"replace","path":"/fanSpeed","value":{"a":{"b":"\ud83d\ude00"}}}]`, `[]`, `[{}]`, `{`, ` `, `[{"op":"add","path":"/a~1b","value":[1e400]}]`,
	} {
		f.Add(seed)
	}
	f.Add(`[{"op":"add","path":"` + strings.Repeat("\U0010FFFF", 140) + `","value":1}]`)
	f.Fuzz(func(t *testing.T, patch string) {
		update, err := Patch([]byte(thermostats), []byte(patch))
		if err != nil {
			if hub.CodeOf(err) != hub.ArgumentInvalid || len(err.Error()) > 1000 {
				t.Fatalf("%q: %v", patch, err)
			}
			return
		}
		var u struct {
			Properties struct{ Desired map[string]json.RawMessage }
		}
		if err := json.Unmarshal(update, &u); err != nil || len(u.Properties.Desired) == 0 || !json.Valid([]byte(patch)) {
			t.Fatalf("%q makes %s, %v", patch, update, err)
		}
	})
}

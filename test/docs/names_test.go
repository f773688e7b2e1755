package docs

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

// TestNames finds what the code can name: each subject is that of one channel
// or internal, each stream, bucket and service is described.
func TestNames(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	described := map[string]bool{}
	for _, section := range []string{"x-streams", "x-buckets", "x-consumers", "x-services"} {
		for name := range child(d.root, section) {
			described[name] = true
		}
	}
	internal := map[string]bool{"$KV.hub_c2d.sweep.lease": true} // of no method
	n := 0
	for method, name := range allNames() {
		n++
		for _, address := range texts(d.root["x-internal"]) {
			internal[address] = internal[address] || matches(address, name)
		}
		switch {
		case strings.HasPrefix(name, "hub."):
			found := d.find(name)
			if len(found) != 1 && !d.isInternal(name) && !isAll(d, name) {
				t.Errorf("%s: %d channels have %s", method, len(found), name)
			}
		case method == "RestoreStream": // no running hub has it
		case method == "Inbox" && name == text(d.root, "x-inbox"):
		case !described[strings.TrimPrefix(name, "KV_")]:
			t.Errorf("%s: nothing describes %s", method, name)
		}
	}
	for address, used := range internal {
		if !used {
			t.Errorf("x-internal has %s, which nothing names", address)
		}
	}
	if n < 40 {
		t.Errorf("there are %d names: the test does not see them", n)
	}
}

// isAll reports whether a pattern covers channels or internal subjects, and is
// no more than what their addresses begin with.
func isAll(d *document, pattern string) bool {
	for _, c := range d.channels {
		if c.address != "" && covers(pattern, wildcard(c.address)) {
			return true
		}
	}
	return slices.ContainsFunc(texts(d.root["x-internal"]), func(a string) bool { return covers(pattern, wildcard(a)) })
}

// allNames calls every method of subject.Names that returns names, and takes
// identities and texts; those with verbs are the services', which testServices
// compares.
func allNames() func(yield func(method, name string) bool) {
	return func(yield func(method, name string) bool) {
		v := reflect.ValueOf(subject.Names{})
		for i := range v.NumMethod() {
			method := v.Type().Method(i)
			for _, id := range []hub.Identity{{Device: "d"}, {Device: "d", Module: "m"}} {
				for _, name := range call(v.Method(i), id) {
					if !yield(method.Name, name) {
						return
					}
				}
			}
		}
	}
}

func call(f reflect.Value, id hub.Identity) []string {
	var args []reflect.Value
	for in := range f.Type().Ins() {
		switch in {
		case reflect.TypeFor[hub.Identity]():
			args = append(args, reflect.ValueOf(id))
		case reflect.TypeFor[string]():
			args = append(args, reflect.ValueOf("x"))
		default:
			return nil
		}
	}
	if f.Type().NumOut() != 1 {
		return nil
	}
	switch out := f.Call(args)[0].Interface().(type) {
	case string:
		return []string{out}
	case []string:
		return out
	default:
		return nil
	}
}

// TestErrorCodes compares the document with docs/errors.md, which is made from
// the code.
func TestErrorCodes(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	var want []string
	for _, row := range regexp.MustCompile(`(?m)^\| (\d{6}) \|`).FindAllStringSubmatch(pages(t)["docs/errors.md"], -1) {
		want = append(want, row[1])
	}
	var got []string
	enum, _ := d.resolve(object{"$ref": "#/components/schemas/ErrorCode"})["enum"].([]any)
	for _, code := range enum {
		got = append(got, fmt.Sprint(int(code.(float64))))
	}
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("the schema ErrorCode has %v, and docs/errors.md %v", got, want)
	}
	known := slices.Clone(d.common)
	for _, r := range d.replies {
		known = append(known, r.errors...)
	}
	for _, code := range known {
		if !slices.Contains(want, code) {
			t.Errorf("there is no code %s", code)
		}
	}
}

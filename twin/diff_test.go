package twin

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// reportedOf is a section with these members.
func reportedOf(t interface{ Fatal(...any) }, body []byte) *value {
	p, err := ParseReported(body)
	if err != nil {
		t.Fatal(err)
	}
	return merge(nil, p.reported, mark{})
}

// A device that has missed something is told all that there is, and null for what
// there was, at whatever place.
func TestDiff(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ old, next, want string }{
		"the same":           {`{"a":1}`, `{"a":1}`, `{"a":1}`},
		"new":                {`{}`, `{"a":1}`, `{"a":1}`},
		"gone":               {`{"a":1,"b":2}`, `{"b":2}`, `{"b":2,"a":null}`},
		"all is gone":        {`{"a":1}`, `{}`, `{"a":null}`},
		"gone in the first":  {`{"a":{"x":1,"y":1},"b":{"x":1}}`, `{"a":{"y":1},"b":{"x":1}}`, `{"a":{"y":1,"x":null},"b":{"x":1}}`},
		"gone in the second": {`{"a":{"x":1},"b":{"x":1,"y":1}}`, `{"a":{"x":1},"b":{"y":1}}`, `{"a":{"x":1},"b":{"y":1,"x":null}}`},
		"gone far below":     {`{"a":{"b":{"c":{"x":1}}}}`, `{"a":{"b":{"c":{}}}}`, `{"a":{"b":{"c":{"x":null}}}}`},
		"object to number":   {`{"a":{"x":1}}`, `{"a":1}`, `{"a":1}`},
		"number to object":   {`{"a":1}`, `{"a":{"x":1}}`, `{"a":{"x":1}}`},
		"arrays are whole":   {`{"a":[1,{"x":1}]}`, `{"a":[{}]}`, `{"a":[{}]}`},
	} {
		if got := string(appendValue(nil, diff(reportedOf(t, []byte(tc.old)), reportedOf(t, []byte(tc.next))))); got != tc.want {
			t.Errorf("%s: from %s to %s is %s, want %s", name, tc.old, tc.next, got, tc.want)
		}
	}
}

// What is told makes of any section any other one.
func TestAnyDiff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		old := reportedOf(t, text(t, anyObject(3).Draw(t, "old")))
		next := reportedOf(t, text(t, anyObject(3).Draw(t, "next")))
		patch := diff(old, next)
		got := appendValue(nil, merge(old, patch, mark{}))
		if want := appendValue(nil, next); !reflect.DeepEqual(decode(t, got), decode(t, want)) {
			t.Errorf("from %s with %s to %s, want %s", appendValue(nil, old), appendValue(nil, patch), got, want)
		}
	})
}

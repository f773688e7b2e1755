package twin

import (
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// patched applies bodies one after another to a new twin, each for its origins.
func patched(t *testing.T, writes ...Write) Twin {
	t.Helper()
	tw := New(hub.Identity{Device: "d"}, "1", time.Time{})
	for _, w := range writes {
		p, err := w.parse()
		if err != nil {
			t.Fatal(err)
		}
		if tw, _, err = tw.Patch(p, "", time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	return tw
}

func TestOrigins(t *testing.T) {
	all := []Origin{{Configuration: "c", Digest: "7"}}
	byC := `"$lastUpdatedBy":"c","$lastUpdatedByDigest":"7"`
	for name, tc := range map[string]struct {
		writes []Write
		has    []string
		not    []string
	}{
		"leaves have it and what they are in has not": {
			writes: []Write{{Body: []byte(`{"properties":{"desired":{"a":{"b":1,"e":{}}}}}`), Origins: all}},
			has: []string{
				`"a":{"$lastUpdated":"0001-01-01T00:00:00Z","$lastUpdatedVersion":2,"b"`,
				`"b":{"$lastUpdated":"0001-01-01T00:00:00Z","$lastUpdatedVersion":2,` + byC + `}`,
				`"e":{"$lastUpdated":"0001-01-01T00:00:00Z","$lastUpdatedVersion":2,` + byC + `}`,
			},
		},
		"another value takes it over": {
			writes: []Write{
				{Body: []byte(`{"properties":{"desired":{"a":1}}}`), Origins: all},
				{Body: []byte(`{"properties":{"desired":{"a":2}}}`)},
			},
			not: []string{"$lastUpdatedBy"},
		},
		"the same value does not": {
			writes: []Write{
				{Body: []byte(`{"properties":{"desired":{"a":1}}}`), Origins: all},
				{Body: []byte(`{"properties":{"desired":{"a":1}}}`)},
			},
			has: []string{byC},
		},
		"an empty object that is sent back does not": {
			writes: []Write{
				{Body: []byte(`{"properties":{"desired":{"a":{}}}}`), Origins: all},
				{Body: []byte(`{"properties":{"desired":{"a":{}}}}`)},
			},
			has: []string{byC},
		},
		"an object that gets a member does": {
			writes: []Write{
				{Body: []byte(`{"properties":{"desired":{"a":{}}}}`), Origins: all},
				{Body: []byte(`{"properties":{"desired":{"a":{"b":1}}}}`)},
			},
			not: []string{"$lastUpdatedBy"},
		},
		"a path is all that has it": {
			writes: []Write{{
				Body:    []byte(`{"properties":{"desired":{"a":{"b":1},"x":2}}}`),
				Origins: []Origin{{Path: []string{"a"}, Configuration: "c", Digest: "7"}, {Path: []string{"gone"}, Configuration: "d"}},
			}},
			has: []string{byC},
			not: []string{`"x":{"$lastUpdated":"0001-01-01T00:00:00Z","$lastUpdatedVersion":2,"`, `"d"` + `,"$lastUpdatedByDigest"`},
		},
		"tags have none": {
			writes: []Write{{Body: []byte(`{"tags":{"a":1}}`), Origins: all}},
			not:    []string{"$lastUpdatedBy"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tw := patched(t, tc.writes...)
			text := string(tw.AppendJSON(nil))
			for _, want := range tc.has {
				if !strings.Contains(text, want) {
					t.Errorf("got %s, want in it %s", text, want)
				}
			}
			for _, bad := range tc.not {
				if strings.Contains(text, bad) {
					t.Errorf("got %s, want nothing of %s", text, bad)
				}
			}
			again, err := Parse([]byte(text))
			if err != nil || string(again.AppendJSON(nil)) != text {
				t.Errorf("read and printed again: %s, %v, want %s", again.AppendJSON(nil), err, text)
			}
			if n := tw.length(); n < len(text) {
				t.Errorf("length says %d, and it has %d bytes", n, len(text))
			}
		})
	}
}

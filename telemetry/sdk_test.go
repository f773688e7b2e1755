package telemetry

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sent is what an application gives to an SDK.
type sent struct {
	mid   *string
	ct    *string
	names []string
	value map[string]*string // nil: null
}

// The encoders write a property bag as the SDKs do; see the comments there.

// encodeURIComponent leaves !'()* too, as JavaScript does.
func encodeURIComponent(s string) string {
	return strings.NewReplacer("+", "%20", "%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*").Replace(url.QueryEscape(s))
}

// node: system first, $ escaped; it has no null values.
func node(s sent) string {
	var pairs []string
	for name, v := range map[string]*string{"$.mid": s.mid, "$.ct": s.ct} {
		if v != nil {
			pairs = append(pairs, encodeURIComponent(name)+"="+encodeURIComponent(*v))
		}
	}
	for _, n := range s.names {
		pairs = append(pairs, encodeURIComponent(n)+"="+encodeURIComponent(*s.value[n]))
	}
	return strings.Join(pairs, "&")
}

// python: quote(), and application properties sorted by name.
func python(s sent) string {
	quote := func(v string) string { return strings.ReplaceAll(url.QueryEscape(v), "+", "%20") }
	pairs := []string{}
	if s.mid != nil {
		pairs = append(pairs, "%24.mid="+quote(*s.mid))
	}
	if s.ct != nil {
		pairs = append(pairs, "%24.ct="+quote(*s.ct))
	}
	for _, n := range slices.Sorted(slices.Values(s.names)) {
		pairs = append(pairs, quote(n)+"="+quote(*s.value[n]))
	}
	return strings.Join(pairs, "&")
}

// csharp: EscapeDataString on both sides, a null value is the name alone, a
// slash behind all.
func csharp(s sent) string {
	var pairs []string
	for _, n := range s.names {
		pair := encodeURIComponent(n)
		if v := s.value[n]; v != nil {
			pair += "=" + encodeURIComponent(*v)
		}
		pairs = append(pairs, pair)
	}
	if s.mid != nil {
		pairs = append(pairs, "%24.mid="+encodeURIComponent(*s.mid))
	}
	if s.ct != nil {
		pairs = append(pairs, "%24.ct="+encodeURIComponent(*s.ct))
	}
	return strings.Join(pairs, "&") + "/"
}

// java: system names raw, URLEncoder with %20 for the space, which leaves *;
// null and empty values left out.
func java(s sent) string {
	encode := func(v string) string {
		return strings.NewReplacer("+", "%20", "%2A", "*", "~", "%7E").Replace(url.QueryEscape(v))
	}
	var pairs []string
	add := func(name string, v *string) {
		if v != nil && *v != "" {
			pairs = append(pairs, name+"="+encode(*v))
		}
	}
	add("$.mid", s.mid)
	add("$.ct", s.ct)
	for _, n := range s.names {
		add(encode(n), s.value[n])
	}
	return strings.Join(pairs, "&")
}

// c: application properties first, nothing escaped.
func c(s sent) string {
	var pairs []string
	for _, n := range s.names {
		pairs = append(pairs, n+"="+*s.value[n])
	}
	if s.mid != nil {
		pairs = append(pairs, "%24.mid="+*s.mid)
	}
	if s.ct != nil {
		pairs = append(pairs, "%24.ct="+*s.ct)
	}
	return strings.Join(pairs, "&")
}

// Whatever an SDK escapes, leaves or sorts, what the application gave it comes
// out.
func TestParseBagIsTheInverseOfEverySDK(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z0-9 +%/&=$.?#é\n\x00]*`)).Filter(utf8.ValidString)
	tame := rapid.StringMatching(`[a-z0-9 +/$.?#é*!'()]*`) // what C's user must not send: & = % and a slash at the end
	for name, sdk := range map[string]struct {
		encode  func(sent) string
		text    *rapid.Generator[string]
		nulls   bool // can send null
		noEmpty bool // leaves empty values out
	}{
		"Node": {encode: node, text: text}, "Python": {encode: python, text: text},
		"C#": {encode: csharp, text: text, nulls: true}, "Java": {encode: java, text: text, noEmpty: true},
		"C": {encode: c, text: tame.Filter(func(s string) bool { return !strings.HasSuffix(s, "/") })},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				maybe := rapid.Ptr(sdk.text, true)
				s := sent{mid: maybe.Draw(t, "mid"), ct: maybe.Draw(t, "ct"), value: map[string]*string{}}
				s.names = rapid.SliceOfNDistinct(sdk.text.Filter(func(n string) bool {
					return n != "" && !strings.HasPrefix(n, "$.") && n[0] != '?'
				}), 0, 20, rapid.ID[string]).Draw(t, "names")
				for _, n := range s.names {
					s.value[n] = rapid.Ptr(sdk.text, sdk.nulls).Draw(t, "value")
				}
				got := parse(t, sdk.encode(s))
				slices.Sort(got.App)
				if diff := cmp.Diff(wanted(s, sdk.noEmpty), got); diff != "" {
					t.Fatalf("%q (-want +got):\n%s", sdk.encode(s), diff)
				}
			})
		})
	}
}

// wanted is what must come out, its properties sorted.
func wanted(s sent, noEmpty bool) bag {
	want := bag{System: map[string]string{}}
	isSent := func(v *string) bool { return v != nil && (!noEmpty || *v != "") }
	if isSent(s.mid) {
		want.System["message-id"] = *s.mid
	}
	if isSent(s.ct) {
		want.System["content-type"] = *s.ct
	}
	for _, n := range s.names {
		v := s.value[n]
		switch {
		case isSent(v):
			want.App = append(want.App, n+"="+*v)
		case v == nil:
			want.App = append(want.App, n)
		}
	}
	slices.Sort(want.App)
	return want
}

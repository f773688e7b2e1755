package twin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

// What is written by hand is what the libraries write.
func TestAppendTime(t *testing.T) {
	t.Parallel()
	tests := []ticks{0, 1, 10, -1, ticksPerSecond, ticksPerSecond - 1, math.MaxInt64, math.MinInt64}
	for range 20_000 {
		tests = append(tests, ticks(rand.Int64N(3_200_000_000_000_000_000))) // into the year 10140
	}
	for n := range 8 { // fractions that end with zeros
		tests = append(tests, ticks(math.Pow10(n))+638_000_000*ticksPerSecond)
	}
	for _, at := range tests {
		want := `"` + at.time().Format(layout) + `"`
		if got := string(appendTime(nil, at)); got != want {
			t.Errorf("%d: got %s, want %s", at, got, want)
		}
	}
}

func TestAppendString(t *testing.T) {
	t.Parallel()
	tests := []string{"", "plain", "a b", "<a&b>", "grüße", "\u2028", "😀"}
	for b := range 128 {
		tests = append(tests, "a"+string(rune(b))+"b")
	}
	for _, s := range tests {
		want, err := jsontext.AppendQuote(nil, s)
		if got := appendString(nil, s); err != nil || string(got) != string(want) {
			t.Errorf("got %s, want %s, %v", got, want, err)
		}
	}
}

// sample is a twin of a kilobyte, with everything that makes a document long.
func sample(tb testing.TB, key string) Twin {
	tb.Helper()
	var b strings.Builder
	b.WriteString(`{"nested":{"list":[1,2,{"a":"b"}],"deep":{"on":true}}`)
	for i := range 20 {
		fmt.Fprintf(&b, `,"%s%d":"%s"`, key, i, strings.Repeat("v", 40))
	}
	b.WriteString("}")
	now := time.Date(2026, 11, 21, 8, 0, 0, 123_456_700, time.UTC)
	t := New(hub.Identity{Device: "dev-1", Module: "mod-1"}, "1", now)
	update, err := ParseUpdate([]byte(`{"tags":` + b.String() + `,"properties":{"desired":` + b.String() + `}}`))
	if err == nil {
		t, _, err = t.Patch(update, "", now)
	}
	reported, reportedErr := ParseReported([]byte(b.String()))
	if err == nil && reportedErr == nil {
		t, _, err = t.PatchReported(reported, 0, now)
	}
	if err != nil || reportedErr != nil {
		tb.Fatal(err, reportedErr)
	}
	return t
}

// A document is written into room that was made for it once, and not much more.
func TestDocumentsGrowOnce(t *testing.T) {
	tw := sample(t, "property")
	for name, write := range map[string]func() []byte{
		"stored": func() []byte { return tw.AppendJSON(nil) },
		"device": tw.Device,
	} {
		if n := testing.AllocsPerRun(100, func() { write() }); n != 1 {
			t.Errorf("%s: %v allocations, want 1", name, n)
		}
		if b := write(); cap(b) > 2*len(b) {
			t.Errorf("%s: room for %d bytes, and there are %d", name, cap(b), len(b))
		}
	}
	if b := sample(t, "größe").AppendJSON(nil); !strings.Contains(string(b), "größe19") {
		t.Errorf("got %s", b)
	}
}

func BenchmarkStored(b *testing.B) {
	tw := sample(b, "property")
	b.ReportAllocs()
	for b.Loop() {
		tw.AppendJSON(nil)
	}
}

func BenchmarkDevice(b *testing.B) {
	tw := sample(b, "property")
	b.ReportAllocs()
	for b.Loop() {
		tw.Device()
	}
}

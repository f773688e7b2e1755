package query

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A text is taken for a time exactly when printing the time gives the text.
func TestParseInstant(t *testing.T) {
	t.Parallel()
	check := func(s string) (taken bool) {
		at, err := time.Parse(time.RFC3339Nano, s)
		want := err == nil && at.Year() > 0 && at.UTC().Format("2006-01-02T15:04:05.9999999Z07:00") == s
		ticks, ok := parseInstant([]byte(s))
		if ok != want {
			t.Errorf("%q is taken for a time: %t, want %t", s, ok, want)
		}
		if ok && string(appendInstant(nil, ticks)) != s {
			t.Errorf("%q is printed as %q", s, appendInstant(nil, ticks))
		}
		return ok
	}
	for _, s := range []string{
		"2026-11-28T04:05:06Z", "2026-11-28T04:05:06.1234567Z", "2026-11-28T04:05:06.5Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z",
		"2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z",
		"2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "0000-01-01T00:00:00Z",
		"2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.0Z", "2026-01-01T00:00:00.10Z", "2026-01-01T00:00:00.12345678Z", "2026-01-01T00:00:00+0Z", "",
	} {
		check(s)
	}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	taken := 0
	for range 20_000 {
		s := []byte("2026-11-28T04:05:06.1234567Z")
		for range r.IntN(3) {
			s[r.IntN(len(s))] = "0123456789-:.TZ"[r.IntN(15)]
		}
		if check(string(s)) {
			taken++
		}
	}
	if taken == 0 || taken == 20_000 {
		t.Errorf("%d of all are times", taken)
	}
}

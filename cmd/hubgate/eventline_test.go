package main

import (
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/backend/client"
)

func TestBodyLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", maxLineBody)
	tests := map[string]struct {
		full bool
		body string
		want string
	}{
		"text":       {false, "Grüße", "Grüße"},
		"empty":      {false, "", "(no body)"},
		"controls":   {false, "a\tb\u202ec\x00", `a\tb\u202ec\x00`},
		"binary":     {false, "\xff\xfe", "base64://4="},
		"long":       {false, long, strings.Repeat("ä", maxLineBody/2) + "… (2048 bytes)"},
		"cut inside": {false, "x" + long, "x" + strings.Repeat("ä", maxLineBody/2-1) + "… (2049 bytes)"},
		"in full":    {true, long, long},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := eventLine{full: tt.full}
			if got := line.body([]byte(tt.body)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		text string
		want time.Time
	}{
		"none":     {"", time.Time{}},
		"duration": {"90m", now.Add(-90 * time.Minute)},
		"days":     {"2d", now.AddDate(0, 0, -2)},
		"time":     {"2026-11-20T07:00:00Z", now.Add(-25 * time.Hour)},
	}
	for name, tt := range tests {
		got, err := sinceOf(tt.text, now)
		if err != nil || !got.Equal(tt.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, tt.want)
		}
	}
	if _, err := sinceOf("yesterday", now); exitCode(err) != exitUsage {
		t.Errorf("got %v", err)
	}
}

// TestFixedColumns: a name that is longer than those before widens the column.
func TestFixedColumns(t *testing.T) {
	t.Parallel()
	var line eventLine
	var got []string
	for _, id := range []string{"a", "a-device-of-some-length", "a"} {
		e := client.Event{}
		e.From.Device, e.Body = id, []byte("x")
		got = append(got, strings.TrimSpace(line.text(e)[len("15:04:05.000"):]))
	}
	want := []string{"a             x", "a-device-of-some-length  x", "a                        x"}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d: got %q, want %q", i, got[i], want[i])
		}
	}
}

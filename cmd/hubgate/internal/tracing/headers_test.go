package tracing

import (
	"maps"
	"strings"
	"testing"
)

func TestParseHeaders(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want map[string]string // nil: refused
	}{
		"one":         {"Authorization: Bearer s3cret", map[string]string{"Authorization": "Bearer s3cret"}},
		"several":     {"# of the collector\r\nX-A:1\r\n\n x-b :  a:b  \n", map[string]string{"X-A": "1", "x-b": "a:b"}},
		"none":        {"# nothing\n", nil},
		"no colon":    {"s3cret", nil},
		"no name":     {": s3cret", nil},
		"no value":    {"X-A:", nil},
		"bad name":    {"X A: s3cret", nil},
		"bad value":   {"X-A: s3cret\x00", nil},
		"twice":       {"X-A: s3cret\nX-A: s3cret", nil},
		"other case":  {"Authorization: s3cret\nauthorization: s3cret", nil},
		"folded line": {"X-A: 1\n s3cret", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseHeaders(tt.text)
			if (err == nil) != (tt.want != nil) || !maps.Equal(got, tt.want) {
				t.Fatalf("got %v, %v, want %v", got, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error has what is secret: %v", err)
			}
		})
	}
}

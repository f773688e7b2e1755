//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// shownFaults is how many broken promises of a kind are told in full.
const shownFaults = 5

// verdict is what was promised and not kept. It is safe for concurrent use.
type verdict struct {
	mu    sync.Mutex
	kinds []string
	told  map[string][]string
	count map[string]int
	out   io.Writer
}

func newVerdict(out io.Writer) *verdict {
	return &verdict{told: map[string][]string{}, count: map[string]int{}, out: out}
}

// broken notes that a promise of some kind was broken.
func (v *verdict) broken(kind, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.Contains(v.kinds, kind) {
		v.kinds = append(v.kinds, kind)
	}
	v.count[kind]++
	if len(v.told[kind]) < shownFaults {
		text := fmt.Sprintf(format, args...)
		v.told[kind] = append(v.told[kind], text)
		fmt.Fprintf(v.out, "%s BROKEN: %s: %s\n", time.Now().Format("15:04:05.000"), kind, text)
	}
}

// of is how many promises of a kind were broken.
func (v *verdict) of(kind string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.count[kind]
}

// err is nil when every promise was kept.
func (v *verdict) err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.kinds) == 0 {
		return nil
	}
	var text strings.Builder
	for _, kind := range v.kinds {
		fmt.Fprintf(&text, "\n%s: %d", kind, v.count[kind])
		for _, one := range v.told[kind] {
			text.WriteString("\n  " + one)
		}
	}
	return fmt.Errorf("promises were broken:%s", text.String())
}

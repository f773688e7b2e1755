package hubtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"
)

// Log is what a process has written to standard error, of all its starts. It
// is safe for concurrent use.
type Log struct {
	mu      sync.Mutex
	text    bytes.Buffer
	part    []byte        // of a line that is not complete yet
	lines   []Line        // those that are JSON
	changed chan struct{} // closed by the next line; nil when nobody waits
}

// Line is one line of the log, which is JSON.
type Line map[string]any

// Text returns a field as text, whatever its JSON type; empty if it is missing.
func (l Line) Text(name string) string {
	v, ok := l[name]
	if !ok {
		return ""
	}
	if f, ok := v.(float64); ok && f == float64(int64(f)) {
		return fmt.Sprint(int64(f))
	}
	return fmt.Sprint(v)
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	l.part = append(l.part, b...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 {
			break
		}
		var line Line
		if json.Unmarshal(l.part[:i], &line) == nil {
			l.lines = append(l.lines, line)
		}
		l.part = l.part[i+1:]
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return len(b), nil
}

// String is the whole text.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Lines returns the lines from number first on that match.
func (l *Log) Lines(first int, match func(Line) bool) []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.match(first, match)
}

// Len is the number of lines so far.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

func (l *Log) match(first int, match func(Line) bool) []Line {
	var found []Line
	for _, line := range l.lines[min(first, len(l.lines)):] {
		if match(line) {
			found = append(found, line)
		}
	}
	return found
}

// Await waits for a line that matches, from the beginning of the log on, and
// returns the first; what says what is waited for.
func (l *Log) Await(t *testing.T, what string, match func(Line) bool) Line {
	t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	for {
		found, changed := l.look(match)
		if len(found) > 0 {
			return found[0]
		}
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("no log line with %s within %v; the log:\n%s", what, Patience, Tail(l.String()))
		}
	}
}

// look returns the lines that match and a channel that the next line closes.
func (l *Log) look(match func(Line) bool) ([]Line, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.match(0, match), l.changed
}

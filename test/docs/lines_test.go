package docs

import (
	"fmt"
	"slices"
	"testing"
)

// expectation is what a page promises of one line.
type expectation struct {
	line string
	want []string // all of it is printed

	before  func(*reader) // what the page supposes
	after   func(*reader) // what the line has done besides printing
	endless func(*reader) // the line goes on until somebody stops it; meanwhile this happens
	tty     bool          // the line asks for a terminal
}

// edgePage has lines for a center and its edge, and there is one hub here:
// TestEdge… of test/faults and of backend/client do what they do, without nats.
const edgePage = "docs/edge.md"

// TestLines runs all lines for the nats command, page by page and each page
// from top to bottom, at a hub of its own.
func TestLines(t *testing.T) {
	t.Parallel()
	expected := expectations()
	for name, text := range pages(t) {
		lines := natsLines(text)
		if name == edgePage {
			continue
		}
		if len(lines) == 0 && len(expected[name]) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !sameLines(t, lines, expected[name]) {
				return
			}
			r := newReader(t)
			if name != contextPage {
				r.finish(expected[contextPage][0].line) // every other page relies on it
			}
			for i, e := range expected[name] {
				t.Run(fmt.Sprintf("line %d", i+1), func(t *testing.T) { r.in(t).check(e) })
			}
		})
	}
}

// sameLines reports whether there is one expectation for each line, in order.
func sameLines(t *testing.T, lines []string, expected []expectation) bool {
	t.Helper()
	known := make([]string, 0, len(expected))
	for _, e := range expected {
		known = append(known, e.line)
		if !slices.Contains(lines, e.line) {
			t.Errorf("the page has no line %q any more", e.line)
		}
	}
	for _, line := range lines {
		if !slices.Contains(known, line) {
			t.Errorf("nothing says what %q prints: add it to expectations()", line)
		}
	}
	if !t.Failed() && !slices.Equal(lines, known) {
		t.Errorf("the lines stand in another order: %q, expected %q", lines, known)
	}
	return !t.Failed()
}

func (r *reader) check(e expectation) {
	r.t.Helper()
	if len(e.want) == 0 {
		r.t.Fatalf("nothing says what %q prints", e.line)
	}
	if e.before != nil {
		e.before(r)
	}
	var out string
	switch {
	case e.endless != nil:
		out = r.watch(e.line, e.endless, e.want)
	case e.tty:
		out = r.terminal(e.line)
	default:
		out = r.finish(e.line)
	}
	for _, w := range missing(out, e.want) {
		r.t.Errorf("%s\nhas not printed %q:\n%s", e.line, w, out)
	}
	if e.after != nil {
		e.after(r)
	}
}

// TestLineOfDev runs the line for the nats command that hubgate dev prints.
func TestLineOfDev(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	line := r.devLine()
	r.watch(line, func(r *reader) { r.dev1.send(`{"n":1}`) }, []string{`{"n":1}`, "iothub-connection-device-id: dev1"})
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf16"
)

// outputFormat is the form in which a command prints its result.
type outputFormat string

const (
	formatTable outputFormat = "table"
	formatJSON  outputFormat = "json"
)

// row is a line of a table.
type row []string

// writeTable writes rows in aligned columns under a head.
func writeTable(w io.Writer, head row, rows []row) error {
	return align(w, append([]row{head}, rows...))
}

// writePairs writes names and values of one thing, a line each. A pair without
// value is left out.
func writePairs(w io.Writer, pairs []row) error {
	return align(w, slices.DeleteFunc(pairs, func(p row) bool { return p[1] == "" }))
}

// align writes rows in columns, without blanks at the ends of lines.
func align(w io.Writer, rows []row) error {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		_, _ = fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	_ = tw.Flush() // a strings.Builder takes everything
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}

// writeJSON writes v as one line.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// timeText writes a time for people; the zero time is "".
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// say prints a line.
func (a *app) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(a.out, format+"\n", args...); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// sayIndented prints JSON on many lines, for people.
func (a *app) sayIndented(text []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return a.say("%s", visibleJSON(b.String()))
}

// visibleJSON is visible for JSON on many lines, which stays what it says: only
// strings hold what would upset a terminal, and it has an escape there.
func visibleJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || !unprintable(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// withField writes v, whose JSON is an object, with one more field at its end.
func withField(v any, name, value string) ([]byte, error) {
	object, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	field, err := json.Marshal(map[string]string{name: value})
	if err != nil {
		return nil, err
	}
	return append(append(object[:len(object)-1], ','), field[1:]...), nil
}

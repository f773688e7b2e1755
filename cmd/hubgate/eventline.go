package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/telemetry"
)

// maxLineBody is how much of a body a line shows, in bytes.
const maxLineBody = 1024

// minFrom is how wide the column of names is at least.
const minFrom = 12

// eventLine writes messages for people, one line each: when, from whom, the
// body, and the properties. The second column grows with the names seen.
type eventLine struct {
	full  bool
	width int
}

func (l *eventLine) text(e client.Event) string {
	from := e.From.String()
	l.width = max(l.width, len(from), minFrom)
	line := fmt.Sprintf("%s  %-*s  %s", e.Enqueued.Local().Format("15:04:05.000"), l.width, from, l.body(e.Body))
	if props := properties(e); props != "" {
		line += "  [" + props + "]"
	}
	return line
}

// body shows text as it is but for what would upset a terminal, and anything
// else in base64.
func (l *eventLine) body(b []byte) string {
	if len(b) == 0 {
		return "(no body)"
	}
	rest := ""
	if !l.full && len(b) > maxLineBody {
		cut := maxLineBody
		for cut > maxLineBody-utf8.UTFMax && !utf8.RuneStart(b[cut]) {
			cut--
		}
		rest = fmt.Sprintf("… (%d bytes)", len(b))
		b = b[:cut]
	}
	if !utf8.Valid(b) {
		return "base64:" + base64.StdEncoding.EncodeToString(b) + rest
	}
	return visible(string(b)) + rest
}

// visible replaces control characters by their escapes: what a device sends
// must not speak to the terminal.
func visible(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !unprintable(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// properties writes system and then application properties as name=value, each
// group in the order of names. Values are quoted where that makes them clear.
func properties(e client.Event) string {
	var parts []string
	system := systemOf(e)
	for _, name := range slices.Sorted(maps.Keys(system)) {
		parts = append(parts, pair(name, system[name]))
	}
	app := maps.Clone(e.Properties)
	for _, name := range e.Nulls {
		app[name] = ""
	}
	for _, name := range slices.Sorted(maps.Keys(app)) {
		if slices.Contains(e.Nulls, name) {
			parts = append(parts, word(name))
			continue
		}
		parts = append(parts, pair(name, app[name]))
	}
	return strings.Join(parts, " ")
}

func pair(name, value string) string { return word(name) + "=" + word(value) }

// word quotes s unless it is plain.
func word(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return unprintable(r) || strings.ContainsRune(` "=[]`, r) }) {
		return strconv.Quote(s)
	}
	return s
}

// systemOf returns the system properties that are set, by their header names.
func systemOf(e client.Event) map[string]string {
	all := map[string]string{}
	for p, value := range e.System {
		all[p.Header()] = value
	}
	if e.ModelID != "" {
		all[telemetry.HeaderModelID] = e.ModelID
	}
	return all
}

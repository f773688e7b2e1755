package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/query"
)

func TestQueryTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	transcript(t, "query.txt", p, dir)
	p.stopCleanly(t)
}

func TestRowTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	table := &rowTable{w: &b}
	pages := [][]string{
		{`{"a":"x","b":{"c":1}}`, `{"b":null}`, `{}`},
		{`{"a":"longer than the first page"}`},
		{},
		{`{"a":"tab\there","new":[1]}`},
	}
	for _, page := range pages {
		rows := []json.RawMessage{}
		for _, r := range page {
			rows = append(rows, json.RawMessage(r))
		}
		if err := table.page(query.Raw, rows); err != nil {
			t.Fatal(err)
		}
	}
	want := "a  b\nx  {\"c\":1}\n   null\n\nlonger than the first page\na          new\ntab\\there  [1]\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if err := table.page(query.Raw, []json.RawMessage{[]byte(`{"a`)}); err == nil {
		t.Error("what is no JSON is printed")
	}
}

func TestPointAt(t *testing.T) {
	t.Parallel()
	fault := hub.Errorf(hub.ArgumentInvalid, "line 2, column 3: no")
	for name, tc := range map[string]struct {
		text string
		err  error
		want string
	}{
		"place":      {"a\nü\tcd", fault, "line 2, column 3: no\n  ü cd\n    ^"},
		"end":        {"a\nbc", fault, "line 2, column 3: no\n  bc\n    ^"},
		"elsewhere":  {"a\nb", fault, "line 2, column 3: no"},
		"other line": {"a", fault, "line 2, column 3: no"},
		"no place":   {"a", hub.Errorf(hub.ArgumentInvalid, "no"), "no"},
		"other code": {"a\nbc", hub.Errorf(hub.NotFound, "line 2, column 3: no"), "line 2, column 3: no"},
		"other":      {"a", errors.ErrUnsupported, "unsupported operation"},
	} {
		if got := sentence(pointAt(tc.text, tc.err)); got != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, tc.want)
		}
	}
	if pointAt("x", nil) != nil {
		t.Error("no error becomes one")
	}
}

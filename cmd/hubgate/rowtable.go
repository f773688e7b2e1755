package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hubgate/hubgate/query"
)

// rowTable prints rows of a query in columns, a page at a time. The columns are
// as wide as the first page needs; a page with other columns has a head of its
// own.
type rowTable struct {
	w       io.Writer
	columns []string
	widths  []int
}

// twinColumns are what people see of whole twins; -o json has all.
func twinColumns() []string {
	return []string{"deviceId", "moduleId", "status", "connectionState", "lastActivityTime", "version", "tags"}
}

// page prints the next rows.
func (t *rowTable) page(kind query.Kind, rows []json.RawMessage) error {
	var columns []string
	cells := make([]map[string]string, len(rows))
	for i, r := range rows {
		names, values, err := membersOf(r)
		if err != nil {
			return fmt.Errorf("read a row: %w", err)
		}
		cells[i] = values
		for _, name := range names {
			if !slices.Contains(columns, name) {
				columns = append(columns, name)
			}
		}
	}
	if kind == query.Twin {
		columns = slices.DeleteFunc(twinColumns(), func(name string) bool { return !slices.Contains(columns, name) })
	}
	if len(columns) == 0 && len(rows) == 0 {
		return nil
	}
	if !subset(columns, t.columns) {
		t.columns, t.widths = columns, nil
		if err := t.head(cells); err != nil {
			return err
		}
	}
	for _, c := range cells {
		if err := t.line(func(name string) string { return c[name] }); err != nil {
			return err
		}
	}
	return nil
}

func subset(some, all []string) bool {
	return all != nil && !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// head decides how wide the columns are, and prints their names.
func (t *rowTable) head(rows []map[string]string) error {
	for _, name := range t.columns {
		width := utf8.RuneCountInString(name)
		for _, r := range rows {
			width = max(width, utf8.RuneCountInString(r[name]))
		}
		t.widths = append(t.widths, width)
	}
	return t.line(visible)
}

func (t *rowTable) line(cell func(column string) string) error {
	var b strings.Builder
	for i, name := range t.columns {
		fmt.Fprintf(&b, "%-*s  ", t.widths[i], cell(name))
	}
	if _, err := fmt.Fprintln(t.w, strings.TrimRight(b.String(), " ")); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// membersOf returns the members of a JSON object, with their names in order. A
// string is as it is, all else is JSON.
func membersOf(object json.RawMessage) (names []string, values map[string]string, err error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	values = map[string]string{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, nil, err
		}
		text := string(value)
		var s string
		if value[0] == '"' && json.Unmarshal(value, &s) == nil {
			text = s
		}
		key := fmt.Sprint(name)
		names, values[key] = append(names, key), visible(text)
	}
	return names, values, nil
}

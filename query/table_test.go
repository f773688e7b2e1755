package query

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

// partOf is where the hub's feed puts a root attribute.
func partOf(name string) int {
	switch name {
	case "etag", "version", "tags", "properties":
		return 1
	case "connectionState", "lastActivityTime", "modelId":
		return 2
	case "cloudToDeviceMessageCount", "configurations":
		return 3
	}
	return 0
}

// put sets a document in the parts that the hub's feed has.
func put(tb testing.TB, c *Collection, key string, document []byte) {
	tb.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		tb.Fatal(err)
	}
	var parts [Parts]map[string]json.RawMessage
	for name, text := range members {
		p := partOf(name)
		if parts[p] == nil {
			parts[p] = map[string]json.RawMessage{}
		}
		parts[p][name] = text
	}
	for i, part := range parts {
		if part == nil {
			c.Drop(key, i)
			continue
		}
		text, err := json.Marshal(part)
		if err == nil {
			err = c.Set(key, i, text)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// sources makes the collections of testdata/fleet.jsonl.
func sources(tb testing.TB) map[Source]*Collection {
	tb.Helper()
	all := map[Source]*Collection{}
	for _, s := range []Source{Devices, Modules, Jobs} {
		config := fleetConfig()
		config.Source = s
		if s == Jobs {
			config.Order = []string{"deviceId", "jobId", "jobType", "status"}
		}
		all[s] = NewCollection(config)
	}
	text, err := os.ReadFile("testdata/fleet.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var d struct {
			Source   Source
			Key      string
			Document json.RawMessage
		}
		if err := json.Unmarshal(line, &d); err != nil {
			tb.Fatal(err)
		}
		put(tb, all[d.Source], d.Key, d.Document)
	}
	return all
}

// tableCase is one query of testdata/queries.txt.
type tableCase struct {
	line       int
	text       string
	want       []string
	isError    bool
	isDocument bool
	condition  bool
}

func tableCases(tb testing.TB) []tableCase {
	tb.Helper()
	f, err := os.Open("testdata/queries.txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var all []tableCase
	var lines []string
	begun := 0
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		n++
		line := s.Text()
		result, isResult := strings.CutPrefix(line, "=>")
		switch {
		case isResult && lines != nil:
			c := tableCase{line: begun, text: strings.Join(lines, "\n")}
			c.text, c.condition = strings.CutPrefix(c.text, "CONDITION")
			if c.condition {
				c.text = strings.TrimPrefix(c.text, " ")
			}
			c.isDocument = !strings.HasPrefix(result, " {")
			lines = nil
			all = append(all, c)
			fallthrough
		case isResult:
			c := &all[len(all)-1]
			result = strings.TrimPrefix(result, " ")
			if text, ok := strings.CutPrefix(result, "error "); ok {
				c.isError, result = true, text
			} else if c.isDocument {
				c.want = strings.Fields(result)
				continue
			}
			c.want = append(c.want, result)
		case lines == nil && (line == "" || line[0] == '#'):
		default:
			if lines == nil {
				begun = n
			}
			lines = append(lines, line)
		}
	}
	return all
}

func (c tableCase) parse() (*Query, error) {
	if c.condition {
		return ParseCondition(c.text)
	}
	return Parse(c.text)
}

// rows reads all pages.
func rows(tb testing.TB, c *Collection, q *Query, size int) []string {
	tb.Helper()
	all := []string{}
	token := ""
	for {
		r, err := c.Run(context.Background(), q, Page{Size: size, Token: token})
		if err != nil {
			tb.Fatalf("%s: %v", q, err)
		}
		if r.Kind != q.Kind() || len(r.Rows) > size {
			tb.Errorf("%s: %d rows of the kind %s, want at most %d of the kind %s", q, len(r.Rows), r.Kind, size, q.Kind())
		}
		for _, row := range r.Rows {
			all = append(all, string(row))
		}
		if token = r.Next; token == "" {
			return all
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	cases := tableCases(t)
	if len(cases) < 200 {
		t.Fatalf("%d queries, want 200", len(cases))
	}
	scanned, indexed := sources(t), sources(t)
	for _, c := range indexed {
		c.limits.unindexed, c.limits.sparse = 0, 1
	}
	for _, tc := range cases {
		q, err := tc.parse()
		if tc.isError {
			checkFault(t, tc, err)
			continue
		}
		if err != nil {
			t.Errorf("queries.txt:%d: %s: %v", tc.line, tc.text, err)
			continue
		}
		for name, c := range map[string]*Collection{"scanned": scanned[q.Source()], "indexed": indexed[q.Source()]} {
			for _, size := range []int{1, 2, 100} {
				got := rows(t, c, q, size)
				if tc.isDocument {
					got = keysOf(t, c, got)
				}
				if d := cmp.Diff(tc.want, got); d != "" && len(tc.want)+len(got) > 0 {
					t.Errorf("queries.txt:%d: %s, %s, pages of %d: -want +got\n%s", tc.line, tc.text, name, size, d)
				}
			}
			if n, err := c.Count(context.Background(), q); n != len(tc.want) || err != nil {
				t.Errorf("queries.txt:%d: %s, %s: counted %d, %v, want %d", tc.line, tc.text, name, n, err, len(tc.want))
			}
		}
	}
}

func checkFault(t *testing.T, tc tableCase, err error) {
	t.Helper()
	if hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("queries.txt:%d: %s: got %v, want ArgumentInvalid", tc.line, tc.text, err)
		return
	}
	if e, ok := errors.AsType[*hub.Error](err); !ok || !strings.HasPrefix(e.Message, tc.want[0]) {
		t.Errorf("queries.txt:%d: %s\n got %v\nwant %s", tc.line, tc.text, err, tc.want[0])
	}
}

// keysOf finds the keys of whole documents, and checks that they are whole.
func keysOf(t *testing.T, c *Collection, rows []string) []string {
	t.Helper()
	keys := []string{}
	for _, row := range rows {
		var d struct{ DeviceID, ModuleID, JobID string }
		if err := json.Unmarshal([]byte(row), &d); err != nil {
			t.Fatal(err)
		}
		key := strings.Join(slices.DeleteFunc([]string{d.JobID, d.DeviceID, d.ModuleID}, func(s string) bool { return s == "" }), "/")
		if doc, ok := c.Get(key); !ok || string(doc) != row {
			t.Errorf("row %s, and Get of %s has %s", row, key, doc)
		}
		keys = append(keys, key)
	}
	return keys
}

package query

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// decode reads JSON and keeps the text of numbers.
func decode(tb rapid.TB, text []byte) map[string]any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return v
}

// anyScalar draws values that meet each other, and those that a tape has a form
// for.
func anyScalar() *rapid.Generator[any] {
	return rapid.SampledFrom([]any{
		nil, true, false,
		json.Number("0"), json.Number("-0"), json.Number("1"), json.Number("1.0"), json.Number("1e0"), json.Number("2"), json.Number("63"), json.Number("64"),
		json.Number("-1"), json.Number("0.50"), json.Number("-0.5"), json.Number("12345.678"), json.Number("4503599627370495"), json.Number("-4503599627370496"),
		json.Number("9007199254740993"), json.Number("123456789012345678901234567890"), json.Number("0.000000000000000000000001"), json.Number("1E+3"),
		"", "a", "b", "ab", "1", "true", "ä", "😀", "a\"b", "a\\b", "\u2028", "x\x00y", "prod", "test", "dev-1", "dev", strings.Repeat("long", 40),
		"2021-07-07T20:45:24.131397Z", "2021-07-07T20:45:24Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "2021-07-07T20:45:24.10Z", "2021-02-30T00:00:00Z", "0000-01-01T00:00:00Z",
		"AAAAAAAAAAE=", "AAAAAAAAAAF=", "NzI3ODk0ODYz", "MQ==", "MDE=", "MA==", "/////////+8=", "abcd",
	})
}

func anyJSON(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 8
		if depth == 0 {
			kinds = 6
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 6:
			return rapid.SliceOfN(anyJSON(depth-1), 0, 3).Draw(t, "array")
		case 7:
			return anyMembers(depth-1).Draw(t, "object")
		}
		return anyScalar().Draw(t, "scalar")
	})
}

func anyName() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"a", "b", "c", "A", "ä", "my-tag", "order", "$version", "x.y"})
}

func anyMembers(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(anyName(), anyJSON(depth), 0, 4)
}

// anyPart draws a part of a document.
func anyPart(id string, part int) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		m := map[string]any{}
		maybe := func(name string, g *rapid.Generator[any]) {
			if rapid.IntRange(0, 3).Draw(t, "has "+name) > 0 {
				m[name] = g.Draw(t, name)
			}
		}
		switch part {
		case 0:
			m["deviceId"] = id
			maybe("status", rapid.SampledFrom([]any{"enabled", "disabled"}))
			maybe("zeta", anyScalar())
		case 1:
			maybe("tags", rapid.Map(anyMembers(2), func(m map[string]any) any { return m }))
			maybe("properties", rapid.Map(anyMembers(3), func(m map[string]any) any { return m }))
			maybe("version", anyScalar())
		case 2:
			maybe("connectionState", rapid.SampledFrom([]any{"Connected", "Disconnected"}))
		case 3:
			maybe("cloudToDeviceMessageCount", rapid.SampledFrom([]any{json.Number("0"), json.Number("3")}))
			maybe("status", rapid.SampledFrom([]any{"enabled"})) // the later part wins
		}
		return m
	})
}

// anyID draws ids whose order and whose beginnings matter.
func anyID() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"dev-1", "dev-10", "dev-2", "dev", "d", "D", "dev!", "dev/x", "é", "z"})
}

func anyPath() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		root := rapid.SampledFrom([]string{
			"deviceId", "id", "DEVICEID", "devices.deviceId", "status", "version", "connectionState", "cloudToDeviceMessageCount", "zeta", "ZETA", "nothing",
			"tags.a", "tags.b", "tags.a", "tags.[[my-tag]]", "properties.a", "tags.a[0]", "tags.a.b", "tags.c.a.b", "properties.b[1].a", "tags.$version", "tags", "properties.[[x.y]]",
		}).Draw(t, "path")
		return root
	})
}

func anyConstant() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.Bool().Draw(t, "is an id") {
			return "'" + anyID().Draw(t, "id") + "'"
		}
		v := anyScalar().Draw(t, "constant")
		if s, ok := v.(string); ok {
			return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
		}
		text, _ := json.Marshal(v)
		return string(text)
	})
}

func anyOperand(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 7).Draw(t, "operand") {
		case 0, 1, 2:
			return anyPath().Draw(t, "path")
		case 3:
			if depth > 0 {
				return "(" + anyOperand(depth-1).Draw(t, "left") + rapid.SampledFrom([]string{" + ", " - ", " * ", " / ", " % "}).Draw(t, "op") + anyOperand(depth-1).Draw(t, "right") + ")"
			}
		case 4:
			return "- " + anyPath().Draw(t, "path")
		}
		return anyConstant().Draw(t, "constant")
	})
}

func anyList() *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(anyConstant(), 0, 4), func(list []string) string { return "[" + strings.Join(list, ", ") + "]" })
}

func anyCondition(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kinds := 12
		if depth == 0 {
			kinds = 8
		}
		switch kind := rapid.IntRange(0, kinds-1).Draw(t, "condition"); kind {
		case 0, 1: // what indexes serve
			return anyPath().Draw(t, "path") + " = " + anyConstant().Draw(t, "constant")
		case 2:
			return anyPath().Draw(t, "path") + rapid.SampledFrom([]string{" IN ", " NIN ", " NOT IN "}).Draw(t, "in") + anyList().Draw(t, "list")
		case 3:
			return anyOperand(1).Draw(t, "left") + rapid.SampledFrom([]string{" = ", " != ", " < ", " <= ", " > ", " >= "}).Draw(t, "op") + anyOperand(1).Draw(t, "right")
		case 4:
			f := rapid.SampledFrom([]string{"IS_DEFINED", "IS_NULL", "IS_BOOL", "IS_NUMBER", "IS_STRING", "IS_ARRAY", "IS_OBJECT", "IS_PRIMITIVE"}).Draw(t, "function")
			return f + "(" + anyPath().Draw(t, "path") + ")"
		case 5:
			f := rapid.SampledFrom([]string{"STARTSWITH", "STARTS_WITH", "ENDSWITH", "CONTAINS", "ARRAY_CONTAINS"}).Draw(t, "function")
			return f + "(" + anyPath().Draw(t, "path") + ", " + anyConstant().Draw(t, "constant") + ")"
		case 6:
			return rapid.SampledFrom([]string{"deviceId", "id"}).Draw(t, "id") + rapid.SampledFrom([]string{" < ", " <= ", " > ", " >= ", " = "}).Draw(t, "op") + "'" + anyID().Draw(t, "id") + "'"
		case 7:
			return anyOperand(0).Draw(t, "left") + " IN " + anyPath().Draw(t, "path")
		case 8:
			return "NOT (" + anyCondition(depth-1).Draw(t, "not") + ")"
		default:
			parts := rapid.SliceOfN(anyCondition(depth-1), 2, 3).Draw(t, "parts")
			return "(" + strings.Join(parts, []string{" AND ", " OR "}[kind%2]) + ")"
		}
	})
}

func anySelection() *rapid.Generator[[2]string] {
	return rapid.Custom(func(t *rapid.T) [2]string {
		switch rapid.IntRange(0, 3).Draw(t, "selection") {
		case 0:
			return [2]string{anyPath().Draw(t, "first") + " AS x, " + anyPath().Draw(t, "second") + " AS y"}
		case 1:
			by := rapid.SampledFrom([]string{"status", "tags.a.b", "connectionState", "zeta", "version"}).Draw(t, "by")
			more := rapid.SampledFrom([]string{"status", "connectionState"}).Draw(t, "more")
			return [2]string{by + " AS x, COUNT() AS n, SUM(version) AS s, AVG(version) AS v, MIN(zeta) AS low, MAX(zeta) AS high, COUNT(tags) AS t", " GROUP BY " + by + ", " + more}
		case 2:
			return [2]string{"COUNT() AS n, MAX(version) AS high"}
		}
		return [2]string{"*"}
	})
}

func anyQuery() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		s := anySelection().Draw(t, "selection")
		text := "SELECT "
		if rapid.IntRange(0, 4).Draw(t, "has top") == 0 {
			text += fmt.Sprintf("TOP %d ", rapid.IntRange(1, 5).Draw(t, "top"))
		}
		text += s[0] + " FROM devices"
		if rapid.IntRange(0, 9).Draw(t, "has where") > 0 {
			text += " WHERE " + anyCondition(2).Draw(t, "where")
		}
		return text + s[1]
	})
}

// fleet is a collection, and the same documents in plain maps.
type fleet struct {
	parts map[string]*[Parts]map[string]any
}

func (f *fleet) documents(c Config) map[string]map[string]any {
	docs := map[string]map[string]any{}
	for key, parts := range f.parts {
		if parts[0] == nil {
			continue
		}
		doc := map[string]any{}
		for name, text := range c.Defaults {
			doc[name] = json.Number(text)
		}
		for _, p := range parts {
			maps.Copy(doc, p)
		}
		docs[key] = doc
	}
	return docs
}

// change does something to all collections and to the maps.
func (f *fleet) change(t *rapid.T, all ...*Collection) {
	key := anyID().Draw(t, "key")
	part := rapid.IntRange(0, Parts-1).Draw(t, "part")
	if f.parts[key] == nil {
		f.parts[key] = new([Parts]map[string]any)
	}
	switch rapid.IntRange(0, 9).Draw(t, "change") {
	case 0:
		delete(f.parts, key)
		for _, c := range all {
			c.Delete(key)
		}
	case 1:
		f.parts[key][part] = nil
		for _, c := range all {
			c.Drop(key, part)
		}
	default:
		p := anyPart(key, part).Draw(t, "document")
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		f.parts[key][part] = decode(t, text)
		for _, c := range all {
			if err := c.Set(key, part, text); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// numbers compares JSON as decoded; what has been calculated is a float64 on
// the naive side.
func sameRow(want map[string]any, got map[string]any) bool {
	return cmp.Equal(want, got, cmp.Comparer(func(a, b json.Number) bool { return a == b }), cmp.FilterValues(
		func(a, b any) bool {
			_, aFloat := a.(float64)
			_, bFloat := b.(float64)
			return aFloat != bFloat
		},
		cmp.Comparer(func(a, b any) bool {
			x, ok1 := asFloat(a)
			y, ok2 := asFloat(b)
			return ok1 && ok2 && x == y
		})))
}

// Whatever happens to documents, and whatever serves a query: it answers as the
// naive evaluator does, and so do Each, Count, Matches and Get.
func TestAgainstNaive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		config := fleetConfig()
		plain := NewCollection(config)
		config.MaxIndexes = rapid.IntRange(1, 3).Draw(t, "indexes")
		indexed := NewCollection(config)
		indexed.limits.unindexed = 0
		indexed.limits.sparse = rapid.IntRange(0, 3).Draw(t, "sparse")
		f := &fleet{map[string]*[Parts]map[string]any{}}
		for range rapid.IntRange(0, 30).Draw(t, "changes") {
			f.change(t, plain, indexed)
		}
		texts := rapid.SliceOfN(anyQuery(), 1, 4).Draw(t, "queries")
		for range 3 {
			docs := f.documents(config)
			for _, text := range texts {
				q, err := Parse(text)
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				for name, c := range map[string]*Collection{"scan": plain, "index": indexed} {
					checkNaive(t, name, c, q, docs)
				}
			}
			for range 5 { // the indexes follow
				f.change(t, plain, indexed)
			}
		}
	})
}

func checkNaive(t *rapid.T, name string, c *Collection, q *Query, docs map[string]map[string]any) {
	keys, want := naiveRun(docs, q, c.config)
	size := rapid.IntRange(1, 4).Draw(t, "page size")
	got := rowsOf(t, c, q, size)
	if len(got) != len(want) {
		t.Fatalf("%s: %s: %d rows, want %d\n%s\n%v", name, q, len(got), len(want), bytes.Join(got, []byte("\n")), want)
	}
	for i := range want {
		if row := decode(t, got[i]); !sameRow(want[i], row) {
			t.Fatalf("%s: %s: row %d -want +got\n%s", name, q, i, cmp.Diff(want[i], row))
		}
	}
	var visited []string
	if err := c.Each(context.Background(), q, func(key string) bool { visited = append(visited, key); return true }); err != nil || !slices.Equal(visited, keys) {
		t.Fatalf("%s: %s: visited %q, want %q, %v", name, q, visited, keys, err)
	}
	if n, err := c.Count(context.Background(), q); n != len(want) || err != nil {
		t.Fatalf("%s: %s: counted %d, want %d, %v", name, q, n, len(want), err)
	}
	for _, key := range []string{"dev-1", "dev/x", "nobody"} {
		if got := c.Matches(q, key); got != slices.Contains(keys, key) {
			t.Fatalf("%s: %s: matches %s: %v", name, q, key, got)
		}
		text, ok := c.Get(key)
		if ok != (docs[key] != nil) || ok && !sameRow(docs[key], decode(t, text)) {
			t.Fatalf("%s: got %s of %s, want %v", name, text, key, docs[key])
		}
	}
	if plan := c.Explain(q); plan.Total != len(docs) || plan.Documents < len(keys) {
		t.Fatalf("%s: %s: plan %+v, and %d of %d are selected", name, q, plan, len(keys), len(docs))
	}
}

func rowsOf(t *rapid.T, c *Collection, q *Query, size int) [][]byte {
	var all [][]byte
	token := ""
	for {
		r, err := c.Run(context.Background(), q, Page{Size: size, Token: token})
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		all = append(all, r.Rows...)
		if token = r.Next; token == "" {
			return all
		}
	}
}

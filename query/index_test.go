package query

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// indexedFleet is a collection that makes an index of whatever it can.
func indexedFleet(indexes int) *Collection {
	config := fleetConfig()
	config.MaxIndexes = indexes
	c := NewCollection(config)
	c.limits.unindexed, c.limits.sparse = 0, 20
	return c
}

func selected(tb testing.TB, c *Collection, text string) []string {
	tb.Helper()
	q, err := Parse("SELECT * FROM devices WHERE " + text)
	if err != nil {
		tb.Fatal(err)
	}
	keys := []string{}
	if err := c.Each(context.Background(), q, func(key string) bool { keys = append(keys, key); return true }); err != nil {
		tb.Fatal(err)
	}
	return keys
}

// Indexes follow every change, whether a value has one document, a few or many,
// and whether one index is all that there is room for.
func TestIndexesFollow(t *testing.T) {
	t.Parallel()
	type doc struct{ a, b int }
	for _, room := range []int{1, 2} {
		c := indexedFleet(room)
		r := rand.New(rand.NewPCG(5, uint64(room)))
		docs := map[string]doc{}
		for step := range 3000 {
			key := fmt.Sprintf("d%03d", r.IntN(300))
			// Now and then all go to the same value, and away from it.
			d := doc{r.IntN(1 + step/150%7), r.IntN(3)}
			if r.IntN(5) == 0 {
				delete(docs, key)
				c.Delete(key)
			} else {
				docs[key] = d
				text := fmt.Sprintf(`{"deviceId":%q,"tags":{"a":%d,"b":"%d"}}`, key, d.a, d.b)
				if err := c.Set(key, 0, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			if step%40 != 0 {
				continue
			}
			for text, want := range map[string]func(doc) bool{
				"tags.a = 0":                                    func(d doc) bool { return d.a == 0 },
				"1 = tags.a":                                    func(d doc) bool { return d.a == 1 },
				"tags.a IN [2, 3, '4']":                         func(d doc) bool { return d.a == 2 || d.a == 3 },
				"tags.a = 1 OR tags.b = '1'":                    func(d doc) bool { return d.a == 1 || d.b == 1 },
				"tags.a = 1 AND tags.b = '2'":                   func(d doc) bool { return d.a == 1 && d.b == 2 },
				"tags.a = 0 AND STARTSWITH(deviceId, 'd1')":     func(d doc) bool { return false },
				"(tags.a = 0 OR tags.b > '1') AND tags.b = '2'": func(d doc) bool { return d.b == 2 },
			} {
				var keys []string
				for key, d := range docs {
					if want(d) || strings.Contains(text, "STARTSWITH") && d.a == 0 && strings.HasPrefix(key, "d1") {
						keys = append(keys, key)
					}
				}
				slices.Sort(keys)
				if got := selected(t, c, text); !slices.Equal(got, keys) {
					t.Fatalf("room for %d, step %d, %s: got %q, want %q", room, step, text, got, keys)
				}
			}
			if n := len(c.Stats().Indexes); n == 0 || n > room {
				t.Fatalf("%d indexes, and there is room for %d", n, room)
			}
		}
	}
}

// The index that has not been used for longest goes, also when indexes take too
// much memory.
func TestIndexesAreBounded(t *testing.T) {
	t.Parallel()
	c := indexedFleet(2)
	for i := range 100 {
		text := fmt.Sprintf(`{"deviceId":"d%d","tags":{"a":%d,"b":%d,"c":1}}`, i, i, i)
		if err := c.Set(fmt.Sprintf("d%d", i), 0, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	paths := func() []string {
		var all []string
		for _, ix := range c.Stats().Indexes {
			all = append(all, ix.Path)
		}
		return all
	}
	for _, path := range []string{"tags.a", "tags.b", "tags.a", "tags.c"} {
		selected(t, c, path+" = 1")
	}
	if got := paths(); !slices.Equal(got, []string{"tags.a", "tags.c"}) {
		t.Errorf("indexes of %q, want the two that were used last", got)
	}
	c.limits.indexMemory = 1000
	selected(t, c, "tags.b = 1")
	if got := paths(); len(got) != 0 {
		t.Errorf("indexes of %q, and one takes more than there is", got)
	}
}

// Explain says what serves a query, and makes nothing.
func TestExplain(t *testing.T) {
	t.Parallel()
	c := indexedFleet(4)
	for i := range 50 {
		if err := c.Set(fmt.Sprintf("d%02d", i), 0, fmt.Appendf(nil, `{"deviceId":"d%02d","tags":{"a":%d}}`, i, i%5)); err != nil {
			t.Fatal(err)
		}
	}
	explain := func(where string) string {
		q, err := Parse("SELECT * FROM devices" + where)
		if err != nil {
			t.Fatal(err)
		}
		return c.Explain(q).String()
	}
	tests := []struct{ where, want string }{
		{"", "devices: scan, 50 of 50 documents"},
		{" WHERE deviceId = 'd01'", `devices: lookup of the key "d01", 1 of 50 documents`},
		{" WHERE deviceId IN ['d01', 'd02', 'd03', 'd04', 'x']", `devices: lookup of the key "d01", "d02", "d03", and 2 more, 4 of 50 documents`},
		{" WHERE STARTSWITH(deviceId, 'd0')", `devices: the keys "d0" to "d1" in order, 10 of 50 documents`},
		{" WHERE deviceId > 'd4'", `devices: the keys from "d4\x00" in order, 10 of 50 documents`},
		{" WHERE deviceId = 'd01' AND deviceId = 'd02'", `devices: lookup of the key none, 0 of 50 documents`},
		{" WHERE tags.a = 1", "devices: scan, 50 of 50 documents; an index on tags.a is made when it is run"},
		{" WHERE TAGS.a = 1 OR tags.a > 3", "devices: scan, 50 of 50 documents"},
	}
	for range 2 {
		for _, tc := range tests {
			if got := explain(tc.where); got != tc.want {
				t.Errorf("%s:\n got %s\nwant %s", tc.where, got, tc.want)
			}
		}
	}
	selected(t, c, "TAGS.a = 1")
	if got, want := explain(" WHERE tags.a IN [1, 2]"), "devices: index on tags.a, 20 of 50 documents"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

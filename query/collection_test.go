package query

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

func parsed(tb testing.TB, text string) *Query {
	tb.Helper()
	q, err := Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

// devices makes a collection of n small documents d000…
func devices(tb testing.TB, n int) *Collection {
	tb.Helper()
	c := NewCollection(fleetConfig())
	for i := range n {
		setDevice(tb, c, i, fmt.Sprintf(`{"tags":{"a":%d,"b":%d}}`, i%7, i))
	}
	return c
}

func setDevice(tb testing.TB, c *Collection, i int, twin string) {
	tb.Helper()
	key := fmt.Sprintf("d%03d", i)
	err := c.Set(key, 0, fmt.Appendf(nil, `{"deviceId":%q}`, key))
	if err == nil {
		err = c.Set(key, 1, []byte(twin))
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	c := NewCollection(Config{Source: Devices, Order: []string{"deviceId", "z", "a"}, Defaults: map[string]string{"count": "0", "z": `"none"`}})
	get := func() string { text, _ := c.Get("d1"); return string(text) }
	set := func(part int, text string) {
		if err := c.Set("d1", part, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	set(1, `{"a":1.50}`)
	if got := get(); got != "" || c.Stats().Documents != 0 {
		t.Errorf("without part 0: got %s", got)
	}
	set(0, `{"y":{"q":1,"p":2},"a":0,"deviceId":"d1"}`)
	if got, want := get(), `{"deviceId":"d1","z":"none","a":1.50,"count":0,"y":{"q":1,"p":2}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	set(3, `{"count":5,"z":null}`)
	c.Drop("d1", 1)
	if got, want := get(), `{"deviceId":"d1","z":null,"a":0,"count":5,"y":{"q":1,"p":2}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c.Drop("d1", 0)
	if got := get(); got != "" {
		t.Errorf("without part 0 again: got %s", got)
	}
	c.Drop("d1", 3)
	c.Drop("d1", 17)
	c.Delete("d1")
	if s := c.Stats(); s.Documents != 0 || s.Bytes != 0 || len(c.free) != 1 {
		t.Errorf("%+v is left of nothing", s)
	}
	for name, err := range map[string]error{
		"part 4":      c.Set("d1", 4, []byte(`{}`)),
		"long key":    c.Set(strings.Repeat("k", 1025), 0, []byte(`{}`)),
		"array":       c.Set("d1", 0, []byte(`[]`)),
		"two":         c.Set("d1", 0, []byte(`{}{}`)),
		"cut":         c.Set("d1", 0, []byte(`{"a":`)),
		"twice":       c.Set("d1", 0, []byte(`{"a":1,"a":2}`)),
		"no UTF-8":    c.Set("d1", 0, []byte("{\"a\":\"\xff\"}")),
		"deep":        c.Set("d1", 0, []byte(strings.Repeat(`{"a":`, 66)+"1"+strings.Repeat("}", 66))),
		"deep arrays": c.Set("d1", 0, []byte(`{"a":`+strings.Repeat(`[`, 100_000)+strings.Repeat("]", 100_000)+"}")),
	} {
		if hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: got %v, want ArgumentInvalid", name, err)
		}
	}
}

// Keys may hold anything.
func TestKeys(t *testing.T) {
	t.Parallel()
	c := NewCollection(fleetConfig())
	keys := []string{"", "\x00", "a", "a\x00", "a/b", "é", strings.Repeat("k", 1024), "\xff\xff"}
	for _, key := range keys {
		if err := c.Set(key, 0, []byte(`{"x":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	if err := c.Each(t.Context(), parsed(t, "SELECT * FROM devices"), func(key string) bool { got = append(got, key); return true }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	if !slices.Equal(got, keys) {
		t.Errorf("got %q, want %q", got, keys)
	}
}

// A document that many resemble is short, and one that resembles nothing still
// comes back.
func TestDictionaryIsBounded(t *testing.T) {
	t.Parallel()
	c := NewCollection(fleetConfig())
	c.dict.mostShapes, c.dict.mostWords = 300, 200
	for i := range 1000 {
		text := fmt.Sprintf(`{"deviceId":"x","own%d":"%d","more":{"name%d":"word %d"}}`, i, i, i%2000, i)
		for range 2 {
			if err := c.Set("x", 0, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := c.Get("x"); !strings.Contains(string(got), fmt.Sprintf(`"own%d":"%d"`, i, i)) {
			t.Fatalf("%s came back as %s", text, got)
		}
	}
	if n := len(*c.dict.shapes.Load()); n != 300 {
		t.Errorf("%d shapes", n)
	}
	if n := len(*c.dict.words.Load()); n != 200 {
		t.Errorf("%d words", n)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	c := devices(t, 250)
	q := parsed(t, "SELECT TOP 210 deviceId FROM devices WHERE tags.a != 6")
	var got []string
	token := ""
	for i := 0; ; i++ {
		// Another size each time, and another node or one that has started again.
		r, err := c.Run(t.Context(), q, Page{Size: 1 + i*7%40, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range r.Rows {
			got = append(got, string(row))
		}
		if token = r.Next; token == "" {
			break
		}
		c = devices(t, 250)
	}
	if len(got) != 210 || !slices.IsSorted(got) || len(slices.Compact(got)) != 210 {
		t.Errorf("%d rows, want 210 in order: %q", len(got), got)
	}
	for size, want := range map[int]int{0: 100, -1: 100, 5000: 250} {
		r, err := c.Run(t.Context(), parsed(t, "SELECT * FROM devices"), Page{Size: size})
		if err != nil || len(r.Rows) != want {
			t.Errorf("a page of %d has %d rows, want %d; %v", size, len(r.Rows), want, err)
		}
	}
}

// A row that comes and one that goes between two pages leave the others as they
// are.
func TestPagesWhileChanging(t *testing.T) {
	t.Parallel()
	c := devices(t, 100)
	q := parsed(t, "SELECT deviceId FROM devices")
	r, err := c.Run(t.Context(), q, Page{Size: 50})
	if err != nil {
		t.Fatal(err)
	}
	c.Delete("d049") // where the token stands
	c.Delete("d050")
	setDevice(t, c, 200, `{}`)
	r, err = c.Run(t.Context(), q, Page{Size: 1000, Token: r.Next})
	if err != nil || len(r.Rows) != 50 || string(r.Rows[0]) != `{"deviceId":"d051"}` || r.Next != "" {
		t.Errorf("%d rows from %s, %v", len(r.Rows), r.Rows[0], err)
	}
}

func TestForgedTokens(t *testing.T) {
	t.Parallel()
	c := devices(t, 10)
	q, other := parsed(t, "SELECT * FROM devices"), parsed(t, "SELECT * FROM  devices")
	good := position{"d003", 4}.token(q)
	for name, token := range map[string]string{
		"nonsense": "nonsense", "another query's": position{"d003", 4}.token(other), "cut": good[:len(good)-1], "longer": good + "A",
		"changed": "B" + good[1:], "padded": good + "=", "empty key": "AQ", "spaces": " " + good, "changed within": good[:14] + "x" + good[15:],
	} {
		if _, err := c.Run(t.Context(), q, Page{Token: token}); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: got %v, want ArgumentInvalid", name, err)
		}
	}
}

func TestTooManyGroups(t *testing.T) {
	t.Parallel()
	c := devices(t, 50)
	c.limits.groups = 49
	q := parsed(t, "SELECT tags.b, COUNT() AS n FROM devices GROUP BY tags.b")
	if _, err := c.Run(t.Context(), q, Page{}); hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(err.Error(), "more than 49 groups") {
		t.Errorf("got %v, want the limit", err)
	}
	c.limits.groups = 50
	if n, err := c.Count(t.Context(), q); n != 50 || err != nil {
		t.Errorf("%d groups, %v", n, err)
	}
}

// Groups stay as they were while their pages are read.
func TestGroupPages(t *testing.T) {
	t.Parallel()
	c := devices(t, 70)
	q := parsed(t, "SELECT tags.a, COUNT() AS n FROM devices GROUP BY tags.a")
	r, err := c.Run(t.Context(), q, Page{Size: 3})
	if err != nil || len(r.Rows) != 3 {
		t.Fatal(r, err)
	}
	c.Delete("d006")
	r, err = c.Run(t.Context(), q, Page{Size: 10, Token: r.Next})
	if err != nil || len(r.Rows) != 4 || string(r.Rows[3]) != `{"a":6,"n":10}` || r.Next != "" {
		t.Errorf("%s, %v", r.Rows, err)
	}
	for i := range maxKept { // others push them out
		c.grouped.put(parsed(t, fmt.Sprintf("SELECT COUNT() AS n%d FROM devices", i)), &groups{})
	}
	if c.grouped.get(q) != nil {
		t.Error("groups are kept for ever")
	}
}

func TestOtherSource(t *testing.T) {
	t.Parallel()
	c := devices(t, 1)
	q := parsed(t, "SELECT * FROM devices.modules")
	_, err := c.Run(t.Context(), q, Page{})
	_, countErr := c.Count(t.Context(), q)
	for _, err := range []error{err, countErr, c.Each(t.Context(), q, nil), c.Watch(t.Context(), q, nil)} {
		if hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("got %v, want ArgumentInvalid", err)
		}
	}
	if c.Matches(q, "d000") {
		t.Error("a device matches a query about modules")
	}
}

// A query stops when its context does, in a scan, in groups and while it makes
// an index, which is then not there.
func TestContext(t *testing.T) {
	t.Parallel()
	c := devices(t, 500)
	c.limits.unindexed = 0
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, text := range []string{
		"SELECT * FROM devices WHERE tags.a > 100", "SELECT COUNT() AS n FROM devices", "SELECT * FROM devices WHERE tags.a = 1",
	} {
		if _, err := c.Run(ctx, parsed(t, text), Page{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want that the context has ended", text, err)
		}
	}
	if n := len(c.indexes); n != 0 {
		t.Errorf("%d indexes have been half made", n)
	}
	// In the midst of it.
	ctx, cancel = context.WithCancel(t.Context())
	visited := 0
	err := c.Each(ctx, parsed(t, "SELECT * FROM devices"), func(string) bool {
		visited++
		cancel()
		return true
	})
	if !errors.Is(err, context.Canceled) || visited > patience {
		t.Errorf("visited %d, %v", visited, err)
	}
}

// Readers see whole documents and a state of one moment, whatever writers do,
// and wait for none: a writer writes while a reader is in its scan.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	c := devices(t, 300)
	c.limits.unindexed, c.limits.sparse = 0, 10
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for w := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for ctx.Err() == nil {
				i := r.IntN(300)
				switch r.IntN(10) {
				case 0:
					c.Delete(fmt.Sprintf("d%03d", i))
				default:
					v := r.IntN(5)
					setDevice(t, c, i, fmt.Sprintf(`{"tags":{"a":%d,"b":%d,"c":"word %d"}}`, v, v, r.IntN(1000)))
				}
			}
		})
	}
	for _, text := range []string{
		"SELECT tags.a, tags.b FROM devices WHERE tags.a = 1", "SELECT tags.a, tags.b FROM devices WHERE STARTSWITH(deviceId, 'd1')",
		"SELECT tags.a, tags.b FROM devices WHERE tags.b IN [2, 3] AND tags.a > 1",
	} {
		q := parsed(t, text)
		for range 30 {
			r, err := c.Run(t.Context(), q, Page{Size: MaxPage})
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range r.Rows {
				var a, b int
				if s := string(row); s != "{}" {
					if _, err := fmt.Sscanf(s, `{"a":%d,"b":%d}`, &a, &b); err != nil || a != b && a < 7 && b < 5 {
						t.Fatalf("the row %s is of no moment, %v", s, err)
					}
				}
			}
			c.Explain(q)
			c.Stats()
		}
	}
	cancel()
	wg.Wait()
	_ = c.Each(t.Context(), parsed(t, "SELECT * FROM devices"), func(key string) bool {
		c.Delete(key) // does not wait for the scan
		return true
	})
	if n := c.Stats().Documents; n != 0 {
		t.Errorf("%d documents are left", n)
	}
	for _, ix := range c.indexes {
		if len(ix.posts) != 0 {
			t.Errorf("%d values are left in the index of %s", len(ix.posts), ix.path)
		}
	}
}

func TestLimitsOfText(t *testing.T) {
	t.Parallel()
	long := "SELECT * FROM devices WHERE tags.a = '" + strings.Repeat("ä", MaxText-39) + "'"
	if _, err := Parse(long); err != nil {
		t.Errorf("8192 characters: %v", err)
	}
	for name, text := range map[string]string{
		"too long":    long + " ",
		"no UTF-8":    "SELECT * FROM devices WHERE tags.a = '\xff'",
		"parentheses": "SELECT * FROM devices WHERE " + strings.Repeat("(", 101) + "true" + strings.Repeat(")", 101),
		"NOT":         "SELECT * FROM devices WHERE " + strings.Repeat("NOT ", 101) + "true",
		"signs":       "SELECT * FROM devices WHERE " + strings.Repeat("- ", 101) + "1 = 1",
		"functions":   "SELECT * FROM devices WHERE " + strings.Repeat("ABS(", 101) + "1" + strings.Repeat(")", 101) + " = 1",
		"steps":       "SELECT * FROM devices WHERE tags" + strings.Repeat(".a", 64) + " = 1",
	} {
		if _, err := Parse(text); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: got %v, want ArgumentInvalid", name, err)
		}
	}
	chain := "SELECT * FROM devices WHERE true" + strings.Repeat(" AND true", 800)
	if r, err := devices(t, 3).Run(t.Context(), parsed(t, chain), Page{}); err != nil || len(r.Rows) != 3 {
		t.Errorf("a long chain: %d rows, %v", len(r.Rows), err)
	}
}

func TestQueryNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text, root string
		want       bool
		kind       Kind
	}{
		{"SELECT * FROM devices", "configurations", true, Twin},
		{"SELECT deviceId FROM devices", "configurations", false, Raw},
		{"SELECT deviceId FROM devices WHERE devices.Configurations.a.status = 'x'", "configurations", true, Raw},
		{"SELECT COUNT() AS n FROM devices", "deviceId", false, Raw},
		{"SELECT COUNT() AS n FROM devices GROUP BY status", "status", true, Raw},
		{"SELECT * FROM devices.modules", "x", true, Twin},
		{"SELECT * FROM devices.jobs", "x", true, DeviceJob},
		{"SELECT AVG(tags.a) AS a FROM devices", "tags", true, Raw},
	}
	for _, tc := range tests {
		q := parsed(t, tc.text)
		if got := q.Names(tc.root); got != tc.want || q.Kind() != tc.kind {
			t.Errorf("%s: names %s: %v, and is %s", tc.text, tc.root, got, q.Kind())
		}
	}
}

package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
)

func checkError(t *testing.T, err error) {
	t.Helper()
	if e := (*hub.Error)(nil); !errors.As(err, &e) || e.Code != hub.ArgumentInvalid || e.Message == "" {
		t.Fatalf("got %v, want ArgumentInvalid", err)
	}
}

// FuzzParse: whatever the text, it is understood and answered, or refused with
// a place in it; and what is understood counts what it returns.
func FuzzParse(f *testing.F) {
	for _, tc := range tableCases(f) {
		f.Add(tc.text)
	}
	f.Add(strings.Repeat("(", 5000))
	f.Add("SELECT * FROM devices WHERE " + strings.Repeat("NOT ", 2000) + "true")
	f.Add("SELECT * FROM devices WHERE " + strings.Repeat("-", 4000) + "1 = 1")
	f.Add(strings.Repeat(" ", 8188) + "true")
	f.Add("FROM devices" + strings.Repeat(" ", 8180))
	f.Add("SELECT * FROM devices WHERE a li\u212ae 'b'")
	f.Add("NOT (STARTSWITH(a li\u212ae 'b', 'c'))")
	f.Add("\u017felect * from device\u017f group by \u017ftatus")
	f.Add("SELECT SUM(tags.[[big]]), \u017ftatus FROM devices group by \u017ftatus")
	all := sources(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (*Query, error){Parse, ParseCondition} {
			q, err := parse(text)
			if err != nil {
				checkError(t, err)
				continue
			}
			c := all[q.Source()]
			r, err := c.Run(context.Background(), q, Page{Size: MaxPage})
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range r.Rows {
				if !json.Valid(row) {
					t.Fatalf("%s: the row %q is no JSON", q, row)
				}
			}
			if n, err := c.Count(context.Background(), q); n != len(r.Rows) || err != nil {
				t.Fatalf("%s: counted %d, %v, want %d", q, n, err, len(r.Rows))
			}
			if utf8.RuneCountInString(q.String()) > MaxText { // it says more than was written
				continue
			}
			again, err := Parse(q.String())
			if err != nil || again.Kind() != q.Kind() || again.Source() != q.Source() {
				t.Fatalf("%q is understood, and its text %q is not: %v", text, q, err)
			}
		}
	})
}

// FuzzToken: a token that this query has not made is refused, or it is one that
// says where to go on.
func FuzzToken(f *testing.F) {
	q, err := Parse("SELECT * FROM devices")
	if err != nil {
		f.Fatal(err)
	}
	grouped, err := Parse("SELECT TOP 4 status, COUNT() AS n FROM devices GROUP BY status")
	if err != nil {
		f.Fatal(err)
	}
	c := sources(f)[Devices]
	for _, at := range []position{{"d1", 2}, {"", 1}, {"\xff", 1 << 30}, {"d5", 6}} {
		f.Add(at.token(q))
		f.Add(at.token(grouped))
	}
	f.Add("AQ")
	f.Add("!")
	f.Fuzz(func(t *testing.T, token string) {
		for _, q := range []*Query{q, grouped} {
			r, err := c.Run(context.Background(), q, Page{Token: token})
			if err != nil {
				checkError(t, err)
				continue
			}
			at, err := parseToken(q, token)
			if err != nil || token != "" && at.token(q) != token {
				t.Fatalf("%q has been taken for a token: %v", token, err)
			}
			if len(r.Rows) > 6 {
				t.Fatalf("%q: %d rows", token, len(r.Rows))
			}
		}
	})
}

// exact decodes JSON with the text of its numbers.
func exact(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// FuzzSet: what Set takes comes back as the same JSON, text of numbers
// included, also when its names and words have become known; what it does not
// take leaves nothing behind.
func FuzzSet(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"a":{"b":[1,1.0,-0,"2021-07-07T20:45:24.131397Z",null,true,{}]}}`, `{"id":"key-1","x":"key","y":"-1"}`,
		`{"e":["AAAAAAAAAAE=","NzI3ODk0ODYz","MQ=="],"n":[1e400,0.1e-5,123456789012345678]}`, `{"":{"":""}}`, `{"a":1,"a":2}`, `[1]`, `{"a":"\ud800"}`, `{"a":"\u0000\u2028<"}`,
		strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70), `{"a":"` + strings.Repeat("x", 300) + `"}`, `{} {}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := NewCollection(Config{Source: Devices})
		for range 3 {
			if err := c.Set("key-1", 0, text); err != nil {
				checkError(t, err)
				if _, ok := c.Get("key-1"); ok {
					t.Fatalf("%q is refused and kept: %v", text, err)
				}
				return
			}
			got, ok := c.Get("key-1")
			want, err := exact(text)
			if err != nil || !ok {
				t.Fatalf("%q has been taken, and is no JSON: %v", text, err)
			}
			again, err := exact(got)
			if err != nil || !reflect.DeepEqual(want, again) {
				t.Fatalf("got %s of %q, %v", got, text, err)
			}
			c.Delete("key-1")
		}
		if s := c.Stats(); s.Documents != 0 || s.Bytes != 0 {
			t.Fatalf("%+v is left of nothing", s)
		}
	})
}

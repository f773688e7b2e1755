package query

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// A text is a number if it is written as JSON or people write one, and not as Go does.
func TestAsNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"0": 0, "-1.5": -1.5, "1e3": 1000, "1E-3": 0.001, "007": 7, ".5": 0.5, "9007199254740993": 9007199254740992} {
		if got := asNumber(textOf(text)); got.kind != kindNumber || got.num != want {
			t.Errorf("%q is %+v, want %g", text, got, want)
		}
	}
	for _, text := range []string{"", " 1", "1 ", "0x10", "0X10", "0x1p4", "1_000", "inf", "-Inf", "Infinity", "NaN", "nan", "1e400", "one"} {
		if got := asNumber(textOf(text)); got.kind != kindUndefined {
			t.Errorf("%q is %+v, want nothing", text, got)
		}
	}
	for _, v := range []value{{}, truth(true), {kind: kindNull}} {
		if got := asNumber(v); got.kind != kindUndefined {
			t.Errorf("%+v is %+v, want nothing", v, got)
		}
	}
}

// Parts of a text are counted in characters, and what is beyond its end is not there.
func TestSubstring(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		start, length float64
		want          string
	}{
		{0, 0, ""}, {0, 1, "ä"}, {1, 1, "b"}, {0, 3, "äbc"}, {0, 4, "äbc"}, {2, 9, "c"}, {3, 1, ""}, {9, 9, ""}, {0, math.MaxInt32, "äbc"}, {1e300, 1e300, ""},
	} {
		if got := substring(textOf("äbc"), numberOf(tc.start), numberOf(tc.length)); got.kind != kindText || got.str != tc.want {
			t.Errorf("from %g, %g long: %+v, want %q", tc.start, tc.length, got, tc.want)
		}
	}
	for _, tc := range [][3]value{
		{textOf("a"), numberOf(-1), numberOf(1)},
		{textOf("a"), numberOf(0), numberOf(-1)},
		{textOf("a"), numberOf(0.5), numberOf(1)},
		{textOf("a"), numberOf(0), numberOf(0.5)},
		{numberOf(1), numberOf(0), numberOf(1)},
		{textOf("a"), textOf("0"), numberOf(1)},
		{textOf("a"), numberOf(0), {}},
	} {
		if got := substring(tc[0], tc[1], tc[2]); got.kind != kindUndefined {
			t.Errorf("%+v is %+v, want nothing", tc, got)
		}
	}
}

// Groups come in the order of their values: types, then numbers by size and texts by
// their bytes; and equal values are in one group.
func TestSortable(t *testing.T) {
	t.Parallel()
	order := []value{
		{},
		{kind: kindNull},
		truth(false), truth(true),
		numberOf(-1e300), numberOf(-2), numberOf(-1), numberOf(-0.5), numberOf(0), numberOf(0.5), numberOf(1), numberOf(2), numberOf(1e300),
		textOf(""), textOf("\x00"), textOf("\x00\x00"), textOf("\x00a"), textOf("\x01"), textOf("a"), textOf("a\x00"), textOf("a\x00b"), textOf("a\x01"), textOf("ab"), textOf("b"), textOf("\xff"),
	}
	for i, a := range order {
		for j, b := range order {
			// What comes behind a value in a key must not change the order.
			x, y := append(appendSortable(nil, a), 0xff), append(appendSortable(nil, b), 0x00)
			if i == j {
				x[len(x)-1] = 0x00
			}
			if got := bytes.Compare(x, y); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%+v and %+v compare as %d", a, b, got)
			}
		}
	}
	if !bytes.Equal(appendSortable(nil, numberOf(math.Copysign(0, -1))), appendSortable(nil, numberOf(0))) {
		t.Error("0 and -0 are two groups")
	}
}

// A sum that is no number is none: JSON has no word for it.
func TestTotalsThatAreNoNumbers(t *testing.T) {
	t.Parallel()
	for _, sum := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		for _, aggregate := range []string{"SUM", "AVG"} {
			if got := (&total{n: 2, sum: sum}).text(aggregate); got != nil {
				t.Errorf("%s of %g is %s", aggregate, sum, got)
			}
		}
	}
	for aggregate, want := range map[string]string{"SUM": "3", "AVG": "1.5", "COUNT": "2"} {
		if got := string((&total{n: 2, sum: 3}).text(aggregate)); got != want {
			t.Errorf("%s is %s, want %s", aggregate, got, want)
		}
		if got := (&total{}).text(aggregate); (got != nil) != (aggregate == "COUNT") {
			t.Errorf("%s of nothing is %s", aggregate, got)
		}
	}
}

// What is just allowed is understood, and what is just not is refused with a sentence.
func TestLimitsOfQueries(t *testing.T) {
	t.Parallel()
	const all = "SELECT * FROM devices"
	path := func(steps int) string { return all + " WHERE IS_DEFINED(tags" + strings.Repeat(".a", steps-1) + ")" }
	padded := func(n int) string { return all + strings.Repeat(" ", n-len(all)) }
	for name, tc := range map[string]struct{ text, says string }{
		"longest path":          {path(maxSegments), ""},
		"longer path":           {path(maxSegments + 1), "a path has at most 64 steps"},
		"longest text":          {padded(MaxText), ""},
		"longer text":           {padded(MaxText + 1), "a query has at most 8192 characters, and this one has 8193"},
		"least top":             {"SELECT TOP 1 * FROM devices", ""},
		"top of nothing":        {"SELECT TOP 0 * FROM devices", "TOP"},
		"top of a part":         {"SELECT TOP 1.5 * FROM devices", "TOP"},
		"top of too many":       {"SELECT TOP 99999999999999999999 * FROM devices", "TOP"},
		"top of a word":         {"SELECT TOP many * FROM devices", "TOP"},
		"a function of nothing": {all + " WHERE LOWER() = 'a'", "LOWER"},
		"a function of two":     {all + " WHERE LOWER(tags.a, 'b') = 'a'", "LOWER takes 1 argument"},
		"a function of three":   {all + " WHERE CONTAINS(tags.a, 'b', 'c')", "CONTAINS takes 2 arguments"},
		"concat of one":         {all + " WHERE CONCAT(tags.a) = 'a'", "CONCAT takes 2 or more arguments"},
		"concat of many":        {all + " WHERE CONCAT(tags.a, 'b', 'c', 'd', 'e') = 'a'", ""},
	} {
		_, err := Parse(tc.text)
		if tc.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		checkRefused(t, name, err, tc.says)
	}
}

func checkRefused(t *testing.T, name string, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, want %q", name, err, says)
		return
	}
	checkError(t, err)
}

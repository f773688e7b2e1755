package query

import (
	"slices"
	"testing"
)

// has reports whether a key is in one of the ranges.
func has(ranges []keyRange, key string) bool {
	return slices.ContainsFunc(ranges, func(r keyRange) bool { return key >= r.from && (r.to == "" || key < r.to) })
}

// Whatever ranges are joined or cut with each other, the keys in them are those that
// were in any, or in both; and the result is in order, without two that meet.
func TestRangesOfKeys(t *testing.T) {
	t.Parallel()
	ends := []string{"", "a", "b", "c"}
	var single []keyRange
	for _, from := range ends {
		for _, to := range ends {
			single = append(single, keyRange{from, to})
		}
	}
	var sets [][]keyRange
	for _, a := range single {
		for _, b := range single {
			sets = append(sets, []keyRange{a, b})
		}
	}
	keys := []string{"", "Z", "a", "aa", "b", "bb", "c", "cc"}
	check := func(what string, got []keyRange, key string, want bool) {
		t.Helper()
		if has(got, key) != want {
			t.Fatalf("%s is %q, and has the key %q: %v", what, got, key, !want)
		}
	}
	var sorted [][]keyRange
	for _, set := range sets {
		joined := sortRanges(slices.Clone(set))
		for _, key := range keys {
			check("joined", joined, key, has(slices.DeleteFunc(slices.Clone(set), keyRange.empty), key))
		}
		for i := 1; i < len(joined); i++ {
			if before := joined[i-1].to; before == "" || before >= joined[i].from {
				t.Fatalf("%q joined is %q", set, joined)
			}
		}
		sorted = append(sorted, joined)
	}
	for _, a := range sorted {
		for _, b := range sorted {
			both := intersect(a, b)
			for _, key := range keys {
				check("cut", both, key, has(a, key) && has(b, key))
			}
		}
	}
}

func TestRangeOfOneKey(t *testing.T) {
	t.Parallel()
	for r, want := range map[keyRange]bool{
		onlyKey("a"): true, onlyKey(""): true, onlyKey("a\x00"): true,
		{"a", "b"}: false, {"a", "aa"}: false, {"a", "b\x00"}: false, {"a", ""}: false, {"", ""}: false, {"a", "a"}: false, {"a", "a\x00\x00"}: false,
	} {
		if got := r.single(); got != want {
			t.Errorf("%q is one key: %v", r, got)
		}
	}
	for prefix, want := range map[string]keyRange{
		"a": {"a", "b"}, "a\xff": {"a\xff", "b"}, "a\xff\xff": {"a\xff\xff", "b"}, "\xff": {"\xff", ""}, "": {"", ""}, "az": {"az", "a{"},
	} {
		if got := prefixed(prefix); got != want {
			t.Errorf("%q begins the keys of %q, want %q", prefix, got, want)
		}
	}
}

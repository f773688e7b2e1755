package backendtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// oddIDs are legal ids that a store may take for something else, in byte order:
// each has a namesake that an escape or a separator could make of it.
func oddIDs() []string {
	return []string{
		"!", "#", "$d", "%2E", "'", "*", "+", "-", ".", "..", "A", "A1", "_", "a", "a-b", "a.b", "a.b.c", "a2",
		"a=2Eb", "a=b", "a_b", "b*", "d", "d.", "d=", "d=1", "d=3D", "null", "x*", "x?",
	}
}

func hostileIDs(t *testing.T, s identity.Store) {
	ids := slices.Concat(oddIDs(), []string{"50%", "(),:;@", strings.Repeat("$", hub.MaxIDLength), strings.Repeat("a", hub.MaxIDLength)})
	var all []identity.Record
	for _, id := range ids {
		all = append(all, create(t, s, device(id)), create(t, s, module("d", id)), create(t, s, module(id, "m1")))
	}
	for _, r := range all {
		has(t, s, r)
	}
}

// listed returns the ids of a list.
func listed(t *testing.T, s identity.Store, q identity.Query) []string {
	t.Helper()
	records, err := s.List(t.Context(), q)
	if err != nil {
		t.Fatalf("list %+v: %v", q, err)
	}
	ids := []string{}
	for _, r := range records {
		ids = append(ids, r.ID.String())
	}
	return ids
}

func sameIDs(t *testing.T, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

func listDevices(t *testing.T, s identity.Store) {
	sameIDs(t, []string{}, listed(t, s, identity.Query{}))
	ids := oddIDs()
	backwards := slices.Clone(ids)
	slices.Reverse(backwards)
	for _, id := range backwards {
		create(t, s, device(id))
	}
	create(t, s, module("a", "m"))
	gone := create(t, s, device("gone"))
	if err := s.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	sameIDs(t, ids, listed(t, s, identity.Query{}))

	records, err := s.List(t.Context(), identity.Query{Limit: 1})
	if err != nil || len(records) != 1 {
		t.Fatalf("list one: %d records, %v", len(records), err)
	}
	has(t, s, records[0])
}

func listModules(t *testing.T, s identity.Store) {
	ids := oddIDs()
	for _, dev := range []string{"d", "d1", "d.", "d=2E", "D"} {
		create(t, s, device(dev))
		create(t, s, module(dev, "only"))
	}
	want := []string{}
	for _, id := range ids {
		create(t, s, module("d", id))
		want = append(want, "d/"+id)
	}
	want = append(want, "d/only")
	slices.Sort(want)
	sameIDs(t, want, listed(t, s, identity.Query{Device: "d"}))
	for _, dev := range []string{"d1", "d.", "d=2E", "D"} {
		sameIDs(t, []string{dev + "/only"}, listed(t, s, identity.Query{Device: dev}))
	}
	sameIDs(t, []string{}, listed(t, s, identity.Query{Device: "nobody"}))
}

func listPages(t *testing.T, s identity.Store) {
	ids := oddIDs()
	modules := []string{}
	for _, id := range ids {
		create(t, s, device(id))
		create(t, s, module("a", id))
		modules = append(modules, "a/"+id)
	}
	for name, tc := range map[string]struct {
		device string
		want   []string
	}{"devices": {"", ids}, "modules": {"a", modules}} {
		for _, limit := range []int{1, 7, len(ids), len(ids) + 1} {
			t.Run(fmt.Sprintf("%s by %d", name, limit), func(t *testing.T) {
				got := []string{}
				q := identity.Query{Device: tc.device, Limit: limit}
				for {
					page := listed(t, s, q)
					if len(page) > limit {
						t.Fatalf("a page of %d, want at most %d", len(page), limit)
					}
					got = append(got, page...)
					if len(page) == 0 || len(got) > len(ids) {
						break
					}
					q.After = strings.TrimPrefix(page[len(page)-1], "a/")
				}
				sameIDs(t, tc.want, got)
			})
		}
	}
	// What a page ended with may be gone when the next one is asked for.
	sameIDs(t, []string{"a.b", "a.b.c"}, listed(t, s, identity.Query{After: "a-c", Limit: 2}))
}

func listLimit(t *testing.T, s identity.Store) {
	for i := range identity.MaxList + 1 {
		create(t, s, device(fmt.Sprintf("d%04d", i)))
	}
	got := listed(t, s, identity.Query{})
	if len(got) != identity.MaxList || got[0] != "d0000" || got[len(got)-1] != "d0999" {
		t.Fatalf("%d from %s on, want %d from d0000 on", len(got), got[0], identity.MaxList)
	}
	sameIDs(t, []string{"d1000"}, listed(t, s, identity.Query{After: "d0999"}))
}

func devicesContext(t *testing.T, s identity.Store) {
	r := create(t, s, device("d"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"get":    func() error { _, err := s.Get(ctx, r.ID); return err },
		"create": func() error { _, err := s.Create(ctx, device("e")); return err },
		"update": func() error { _, err := s.Update(ctx, r); return err },
		"delete": func() error { return s.Delete(ctx, r) },
		"list":   func() error { _, err := s.List(ctx, identity.Query{}); return err },
	} {
		if call() == nil {
			t.Errorf("%s went well after its context had ended", name)
		}
	}
}

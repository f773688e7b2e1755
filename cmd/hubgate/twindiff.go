package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/twin"
)

type twinDiffCmd struct {
	twinFlags `embed:""`

	From  int64 `name:"from" placeholder:"VERSION" help:"Version of the twin to begin with; default: the one before --to."`
	To    int64 `name:"to" placeholder:"VERSION" help:"Version to end with; default: the latest."`
	Drift bool  `name:"drift" help:"Compare desired with reported properties of now instead: what the device has not taken over."`
}

// Run shows what differs.
func (c *twinDiffCmd) Run(ctx context.Context, a *app) error {
	if c.Drift && (c.From != 0 || c.To != 0) {
		return usagef("--drift is about now: it goes without --from and --to")
	}
	return c.with(a, func(t *client.Twins, id hub.Identity) error {
		changes, err := c.changes(ctx, t, id)
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, changes)
		}
		for _, d := range changes {
			if err := a.say("%s", visible(d.String())); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *twinDiffCmd) changes(ctx context.Context, t *client.Twins, id hub.Identity) ([]difference, error) {
	if c.Drift {
		now, err := t.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		return drift(now)
	}
	all, err := history(ctx, t, id)
	if err != nil {
		return nil, err
	}
	from, to, err := c.pick(all)
	if err != nil {
		return nil, err
	}
	return compareTwins(from, to)
}

// pick finds the two twins to compare.
func (c *twinDiffCmd) pick(all []client.TwinRevision) (from, to twin.Twin, err error) {
	all = slices.DeleteFunc(all, func(r client.TwinRevision) bool { return r.Deleted })
	if len(all) == 0 {
		return from, to, nil // never written: nothing differs
	}
	at := func(version int64) int {
		return slices.IndexFunc(all, func(r client.TwinRevision) bool { return r.Twin.Version == version })
	}
	last := cmp.Or(c.To, all[len(all)-1].Twin.Version)
	first := cmp.Or(c.From, last-1)
	i, j := at(first), at(last)
	if j < 0 || i < 0 && c.From != 0 {
		return from, to, usagef("the history of the twin has the versions %d to %d only", all[0].Twin.Version, all[len(all)-1].Twin.Version)
	}
	if i >= 0 {
		from = all[i].Twin
	} else if all[j].Twin.Version > 3 {
		return from, to, usagef("the version before %d is no longer in the history; give --from", last)
	}
	return from, all[j].Twin, nil
}

// difference is one value that is not the same on both sides.
type difference struct {
	Path string          `json:"path"`
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
}

// String implements fmt.Stringer: + for what came, - for what went, and ~ for
// what changed.
func (d difference) String() string {
	switch {
	case d.Old == nil:
		return fmt.Sprintf("+ %s: %s", d.Path, d.New)
	case d.New == nil:
		return fmt.Sprintf("- %s: %s", d.Path, d.Old)
	}
	return fmt.Sprintf("~ %s: %s → %s", d.Path, d.Old, d.New)
}

// compareTwins returns what differs, in the order of paths. The zero twin is
// an empty one.
func compareTwins(a, b twin.Twin) ([]difference, error) {
	out := []difference{}
	for _, part := range []struct {
		name string
		of   func(twin.Twin) []byte
	}{
		{"tags", twin.Twin.Tags},
		{"desired", twin.Twin.DesiredProperties},
		{"reported", twin.Twin.ReportedProperties},
	} {
		var err error
		if out, err = compareJSON(out, part.name, sectionOf(a, part.of), sectionOf(b, part.of)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func sectionOf(t twin.Twin, of func(twin.Twin) []byte) []byte {
	if t.ID == (hub.Identity{}) {
		return []byte("{}")
	}
	return of(t)
}

// drift returns the desired properties that the device does not report as they
// are.
func drift(t twin.Twin) ([]difference, error) {
	all, err := compareJSON([]difference{}, "", t.ReportedProperties(), t.DesiredProperties())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(d difference) bool { return d.New == nil }), nil
}

// compareJSON appends what differs between two values, object by object.
func compareJSON(out []difference, path string, a, b json.RawMessage) ([]difference, error) {
	if len(a) == 0 || len(b) == 0 || a[0] != '{' || b[0] != '{' {
		if !bytes.Equal(a, b) {
			out = append(out, difference{path, a, b})
		}
		return out, nil
	}
	var before, after map[string]json.RawMessage
	if err := json.Unmarshal(a, &before); err != nil {
		return nil, fmt.Errorf("read the twin: %w", err)
	}
	if err := json.Unmarshal(b, &after); err != nil {
		return nil, fmt.Errorf("read the twin: %w", err)
	}
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	var err error
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		inner := key
		if path != "" {
			inner = path + "." + key
		}
		if out, err = compareJSON(out, inner, before[key], after[key]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

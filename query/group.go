package query

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/hubgate/hubgate/hub"
)

// groups are the rows of a query with aggregates, in the order of their keys.
type groups struct {
	rows []groupRow
	plan Plan
}

type groupRow struct {
	key  string
	text []byte
}

// runGroups returns a page of groups. They are the same while pages are read,
// as long as nobody else reads too many others.
func (c *Collection) runGroups(ctx context.Context, q *Query, size int, at position) (Result, error) {
	var g *groups
	if at.given > 0 {
		g = c.grouped.get(q)
	}
	if g == nil {
		var err error
		if g, err = c.groups(ctx, q); err != nil {
			return Result{}, err
		}
	}
	r := Result{Kind: Raw, Rows: [][]byte{}, Plan: g.plan}
	from := 0
	if at.given > 0 {
		var found bool
		from, found = slices.BinarySearchFunc(g.rows, at.after, func(r groupRow, key string) int { return strings.Compare(r.key, key) })
		if found {
			from++
		}
	}
	rest := g.rows[from:]
	if q.s.top > 0 {
		rest = rest[:max(0, min(len(rest), q.s.top-at.given))]
	}
	for _, row := range rest[:min(size, len(rest))] {
		r.Rows = append(r.Rows, row.text)
		at.after = row.key
		at.given++
	}
	c.grouped.drop(q)
	if len(rest) > size {
		r.Next = at.token(q)
		c.grouped.put(q, g)
	}
	return r, nil
}

// groups makes all groups. A query without GROUP BY has one, also of nothing.
func (c *Collection) groups(ctx context.Context, q *Query) (*groups, error) {
	s, err := c.access(ctx, q.s.where)
	if err != nil {
		return nil, err
	}
	g := c.grouper(q)
	reader := c.reader(q)
	if len(q.s.group) == 0 {
		g.group(nil)
	}
	err = s.scan(ctx, "", func(e entry) bool {
		if reader.selects(e.doc) {
			g.add(reader.view)
		}
		return len(g.byKey) <= c.limits.groups
	})
	if err != nil {
		return nil, err
	}
	if len(g.byKey) > c.limits.groups {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the query makes more than %d groups: group by an attribute with fewer values, or choose fewer documents with WHERE", c.limits.groups)
	}
	found := &groups{plan: s.plan}
	for key, one := range g.byKey {
		found.rows = append(found.rows, groupRow{key, g.row(one)})
	}
	slices.SortFunc(found.rows, func(a, b groupRow) int { return strings.Compare(a.key, b.key) })
	return found, nil
}

// grouper collects groups. It is not for concurrent use.
type grouper struct {
	by      []eval
	columns []groupColumn
	byKey   map[string]*group
	key     []byte
	values  []value
}

// groupColumn is an aggregate, or one of the attributes that are grouped by.
type groupColumn struct {
	name      []byte
	aggregate string
	value     eval // of the aggregate; nil: COUNT()
	by        int
}

// group is one group.
type group struct {
	by     [][]byte // JSON of its attributes, nil for undefined
	totals []total
}

// total is the state of an aggregate.
type total struct {
	n    int
	sum  float64
	best value
}

func (c *Collection) grouper(q *Query) *grouper {
	g := &grouper{byKey: map[string]*group{}, values: make([]value, len(q.s.group))}
	for _, p := range q.s.group {
		g.by = append(g.by, c.finder(p).value)
	}
	for _, i := range q.s.items {
		col := groupColumn{name: append(appendQuoted(nil, i.name), ':'), aggregate: i.aggregate}
		switch {
		case i.aggregate == "":
			col.by = slices.IndexFunc(q.s.group, i.path.same)
		case i.path != nil:
			col.value = c.finder(i.path).value
		}
		g.columns = append(g.columns, col)
	}
	return g
}

// add counts the open document.
func (g *grouper) add(v *view) {
	g.key = g.key[:0]
	for i, by := range g.by {
		g.values[i] = by(v)
		g.key = appendSortable(g.key, g.values[i])
	}
	one := g.byKey[string(g.key)]
	if one == nil {
		one = g.group(g.values)
	}
	for i, col := range g.columns {
		t := &one.totals[i]
		switch {
		case col.aggregate == "":
		case col.value == nil:
			t.n++
		default:
			t.add(col.aggregate, col.value(v))
		}
	}
}

// group makes the group of the key.
func (g *grouper) group(values []value) *group {
	one := &group{totals: make([]total, len(g.columns))}
	for _, v := range values {
		var text []byte
		if v.kind != kindUndefined {
			text = appendValue(nil, v)
		}
		one.by = append(one.by, text)
	}
	g.byKey[string(g.key)] = one
	return one
}

// add counts a value: COUNT what is defined, SUM and AVG numbers, MIN and MAX
// what has an order.
func (t *total) add(aggregate string, v value) {
	switch aggregate {
	case "COUNT":
		if v.kind != kindUndefined {
			t.n++
		}
	case "SUM", "AVG":
		if v.kind == kindNumber {
			t.n++
			t.sum += v.num
		}
	default:
		if v.kind == kindBool || v.kind == kindNumber || v.kind == kindText {
			t.compare(aggregate, v)
		}
	}
}

// compare keeps the least or the greatest.
func (t *total) compare(aggregate string, v value) {
	n := int(v.kind) - int(t.best.kind)
	if n == 0 {
		n = v.order(t.best)
	}
	if t.n == 0 || aggregate == "MIN" && n < 0 || aggregate == "MAX" && n > 0 {
		t.best = v
	}
	t.n++
}

// row prints a group. What has no value has no member.
func (g *grouper) row(one *group) []byte {
	dst := []byte{'{'}
	for i, col := range g.columns {
		var text []byte
		if col.aggregate == "" {
			text = one.by[col.by]
		} else {
			text = one.totals[i].text(col.aggregate)
		}
		if text == nil {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, col.name...), text...)
	}
	return append(dst, '}')
}

func (t *total) text(aggregate string) []byte {
	sum := t.sum
	switch {
	case aggregate == "COUNT":
		return appendFloat(nil, float64(t.n))
	case t.n == 0:
		return nil
	case aggregate == "MIN" || aggregate == "MAX":
		return appendValue(nil, t.best)
	case aggregate == "AVG":
		sum /= float64(t.n)
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return nil
	}
	return appendFloat(nil, sum)
}

// appendSortable appends a value in bytes that have the order of values, and
// that are the same for the same value: types in their order, then numbers by
// size and texts by their bytes.
func appendSortable(dst []byte, v value) []byte {
	dst = append(dst, byte(v.kind))
	switch v.kind {
	case kindUndefined, kindNull:
		return dst
	case kindBool:
		return append(dst, byte(v.num))
	case kindNumber:
		bits := math.Float64bits(v.num + 0)
		if bits>>63 == 1 {
			bits = ^bits
		} else {
			bits |= 1 << 63
		}
		return binary.BigEndian.AppendUint64(dst, bits)
	case kindText:
		return appendTerminated(dst, v.str)
	default:
		return appendTerminated(dst, string(appendValue(nil, v)))
	}
}

// appendTerminated appends a text with an end that keeps the order.
func appendTerminated(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = append(dst, s[i])
		if s[i] == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 1)
}

// groupCache keeps the groups of the last queries of which somebody reads
// pages.
type groupCache struct {
	mu   sync.Mutex
	kept []keptGroups
}

type keptGroups struct {
	text string
	g    *groups
}

const maxKept = 4

func (k *groupCache) get(q *Query) *groups {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, one := range k.kept {
		if one.text == q.text {
			return one.g
		}
	}
	return nil
}

// drop forgets the groups of a query.
func (k *groupCache) drop(q *Query) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = slices.DeleteFunc(k.kept, func(one keptGroups) bool { return one.text == q.text })
}

// put keeps the groups of a query that are not kept.
func (k *groupCache) put(q *Query, g *groups) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kept) == maxKept {
		k.kept = k.kept[1:]
	}
	k.kept = append(k.kept, keptGroups{q.text, g})
}

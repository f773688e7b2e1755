package query

import (
	"context"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// Run returns a page of a query's rows: documents in the order of their keys,
// groups in the order of what they are grouped by. It fails with
// ArgumentInvalid when the token is not of this query, when the query asks
// another source, and when there are more groups than anybody can read.
func (c *Collection) Run(ctx context.Context, q *Query, p Page) (Result, error) {
	if err := c.asked(q); err != nil {
		return Result{}, err
	}
	at, err := parseToken(q, p.Token)
	if err != nil {
		return Result{}, err
	}
	if q.s.aggregates() {
		return c.runGroups(ctx, q, p.size(), at)
	}
	s, err := c.access(ctx, q.s.where)
	if err != nil {
		return Result{}, err
	}
	r := Result{Kind: q.Kind(), Rows: [][]byte{}, Plan: s.plan}
	size := p.size()
	if q.s.top > 0 {
		size = min(size, q.s.top-at.given)
	}
	if size <= 0 {
		return r, nil
	}
	reader := c.reader(q)
	err = s.scan(ctx, at.after, func(e entry) bool {
		if !reader.selects(e.doc) {
			return true
		}
		if len(r.Rows) == size { // there is one more
			r.Next = at.token(q)
			return false
		}
		r.Rows = append(r.Rows, reader.row())
		at.after = e.doc.key()
		at.given++
		return size > len(r.Rows) || q.s.top == 0 || at.given < q.s.top
	})
	return r, err
}

// asked checks that the query is for this collection.
func (c *Collection) asked(q *Query) error {
	if q.s.source != c.config.Source {
		return hub.Errorf(hub.ArgumentInvalid, "the query asks %s, and %s is asked here: write FROM %s", q.s.source, c.config.Source, c.config.Source)
	}
	return nil
}

// reader makes rows of documents. It is not for concurrent use.
type reader struct {
	view    *view
	where   eval
	columns []column
	length  int // of the longest row
}

type column struct {
	name  []byte // as JSON, with its colon
	value eval
}

func (c *Collection) reader(q *Query) *reader {
	r := &reader{view: c.view()}
	if q.s.where != nil {
		r.where = c.compile(q.s.where)
	}
	for _, i := range q.s.items {
		if i.aggregate != "" || len(q.s.group) > 0 {
			continue
		}
		r.columns = append(r.columns, column{append(appendQuoted(nil, i.name), ':'), c.finder(i.path).value})
	}
	return r
}

// selects opens the document, and reports whether the condition is true.
func (r *reader) selects(d document) bool {
	r.view.open(d)
	return r.where == nil || r.where(r.view).isTrue()
}

// row prints the document that is open, into room that the longest would have
// filled.
func (r *reader) row() []byte {
	dst := r.appendRow(make([]byte, 0, r.length))
	r.length = max(r.length, len(dst))
	return dst
}

func (r *reader) appendRow(dst []byte) []byte {
	if r.columns == nil {
		return r.view.appendDocument(dst)
	}
	dst = append(dst, '{')
	first := true
	for _, col := range r.columns {
		v := col.value(r.view)
		if v.kind == kindUndefined {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendValue(append(dst, col.name...), v)
	}
	return append(dst, '}')
}

// filter is the condition of a query on documents that are visible.
func (c *Collection) filter(q *Query) func(document) bool {
	if q.s.where == nil {
		return func(document) bool { return true }
	}
	return c.reader(q).selects
}

// Each visits the keys, in their order, of the documents that the query's
// condition selects, until visit returns false. It holds no lock meanwhile.
func (c *Collection) Each(ctx context.Context, q *Query, visit func(key string) bool) error {
	if err := c.asked(q); err != nil {
		return err
	}
	s, err := c.access(ctx, q.s.where)
	if err != nil {
		return err
	}
	selects := c.filter(q)
	return s.scan(ctx, "", func(e entry) bool { return !selects(e.doc) || visit(strings.Clone(e.doc.key())) }) // a key alone keeps no document
}

// Count is how many rows the query has.
func (c *Collection) Count(ctx context.Context, q *Query) (int, error) {
	if err := c.asked(q); err != nil {
		return 0, err
	}
	n := 0
	switch {
	case len(q.s.group) > 0:
		g, err := c.groups(ctx, q)
		if err != nil {
			return 0, err
		}
		n = len(g.rows)
	case q.s.aggregates():
		n = 1
	case q.s.where == nil:
		c.mu.RLock()
		defer c.mu.RUnlock()
		n = c.visible
	default:
		if err := c.Each(ctx, q, func(string) bool { n++; return true }); err != nil {
			return 0, err
		}
	}
	if q.s.top > 0 {
		n = min(n, q.s.top)
	}
	return n, nil
}

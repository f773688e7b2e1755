package query

import (
	"context"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/hubgate/hubgate/hub"
)

// EventKind is what happened to a row.
type EventKind string

// What a watch tells.
const (
	Added   EventKind = "added"
	Changed EventKind = "changed" // the document has changed, the row perhaps not
	Removed EventKind = "removed"
	Loaded  EventKind = "loaded" // the rows of the beginning have been told
)

// lost is what a watcher is when it cannot say any more which rows have gone.
const lost EventKind = "lost"

// Event is what a watch tells. Row is as a query has it; Removed and Loaded have
// none.
type Event struct {
	Kind EventKind
	Key  string
	Row  []byte
}

// watcher follows one query. All but wake is under the collection's lock, and
// takes bits of bitmaps, whatever the receiver does.
type watcher struct {
	told    *roaring.Bitmap // documents whose row the receiver has
	dirty   *roaring.Bitmap // documents that have changed since
	at      uint32          // the dirty one whose turn is next
	removed []string        // keys of rows that the receiver has, and no document any more
	most    int             // removed at most; beyond it the watch ends
	lost    bool
	wake    chan struct{}
}

// change follows a change of a document. The collection's lock is held.
func (w *watcher) change(old entry, next document) {
	if next != "" {
		w.dirty.Add(old.n)
	} else {
		// Another document will get the number.
		w.dirty.Remove(old.n)
		if w.told.CheckedRemove(old.n) {
			w.removed = append(w.removed, strings.Clone(old.doc.key()))
		}
		if len(w.removed) > w.most {
			w.lost, w.removed = true, nil
		}
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Watch tells of all rows of the query, then Loaded, then of what is added,
// changed and removed, until the context ends. It calls told from one goroutine;
// what changes more than once while told is busy is told once. It fails with
// ArgumentInvalid for a query with aggregates or TOP, whose rows no document is
// behind, and with ServiceUnavailable for a receiver that is so slow that the
// rows to take back are more than can be kept.
func (c *Collection) Watch(ctx context.Context, q *Query, told func(Event)) error {
	if err := c.asked(q); err != nil {
		return err
	}
	if q.s.aggregates() || q.s.top > 0 {
		return hub.Errorf(hub.ArgumentInvalid, "a query with aggregates, GROUP BY or TOP cannot be watched: watch its documents, as in SELECT * FROM %s", q.s.source)
	}
	w := &watcher{told: roaring.New(), dirty: roaring.New(), most: c.limits.removed, wake: make(chan struct{}, 1)}
	c.mu.Lock()
	c.watchers[w] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.watchers, w)
		c.mu.Unlock()
	}()
	reader := c.reader(q)
	if err := c.load(ctx, q, w, told); err != nil {
		return err
	}
	told(Event{Kind: Loaded})
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		if err := c.tell(ctx, w, reader, told); err != nil {
			return err
		}
	}
}

// load tells of the rows of the beginning. A document that has changed since the
// snapshot is left to the changes.
func (c *Collection) load(ctx context.Context, q *Query, w *watcher, told func(Event)) error {
	s, err := c.access(ctx, q.s.where)
	if err != nil {
		return err
	}
	reader := c.reader(q)
	return s.scan(ctx, "", func(e entry) bool {
		if !reader.selects(e.doc) {
			return true
		}
		c.mu.Lock()
		current := c.docs[e.n] == e.doc
		if current {
			w.dirty.Remove(e.n)
			w.told.Add(e.n)
		}
		c.mu.Unlock()
		if current {
			told(Event{Added, e.doc.key(), reader.row()})
		}
		return true
	})
}

// tell tells of what has changed, until nothing has.
func (c *Collection) tell(ctx context.Context, w *watcher, r *reader, told func(Event)) error {
	for ctx.Err() == nil {
		removed, event, more := c.take(w, r)
		if more && event.Kind == lost {
			return hub.Errorf(hub.ServiceUnavailable, "the receiver of this watch is too slow: more than %d rows have gone that it has not been told of; begin the watch again", w.most)
		}
		for _, key := range removed {
			told(Event{Kind: Removed, Key: key})
		}
		if event.Kind != "" {
			told(event)
		}
		if !more {
			return nil
		}
	}
	return nil
}

// take takes the rows that have gone, and one document that has changed: both
// under the same lock, as a key may go and come back. The event is empty when
// the receiver has not had the document and does not get it.
func (c *Collection) take(w *watcher, r *reader) (removed []string, e Event, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	removed, w.removed = w.removed, nil
	if w.lost {
		return nil, Event{Kind: lost}, true
	}
	if w.dirty.IsEmpty() {
		return removed, e, false
	}
	n := w.dirty.Minimum()
	if it := w.dirty.Iterator(); w.at > n { // in turns: one that changes all the time keeps no other waiting
		if it.AdvanceIfNeeded(w.at); it.HasNext() {
			n = it.Next()
		}
	}
	w.at = n + 1
	w.dirty.Remove(n)
	d := c.docs[n]
	had := w.told.Contains(n)
	has := d.visible() && r.selects(d)
	switch {
	case has:
		w.told.Add(n)
		e = Event{Kind: Added, Row: r.row()}
		if had {
			e.Kind = Changed
		}
	case had:
		w.told.Remove(n)
		e.Kind = Removed
	default:
		return removed, e, true
	}
	e.Key = strings.Clone(d.key())
	return removed, e, true
}

package backend

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestWaitersAreServedInOrder(t *testing.T) {
	t.Parallel()
	w := newWindow(2, 1000)
	first, second := w.reserve(10), w.reserve(10)
	w.add(first)
	w.add(second)
	var tickets []*ticket
	for range 5 {
		k := &ticket{size: 10, ready: make(chan *slot, 1)}
		w.waiting.push(k)
		tickets = append(tickets, k)
	}
	w.remove(first)
	served := func() (n int) {
		for _, k := range tickets {
			n += len(k.ready)
		}
		return n
	}
	if served() != 1 || len(tickets[0].ready) != 1 {
		t.Errorf("%d served, the first in line %d, want 1 and 1", served(), len(tickets[0].ready))
	}
	w.turnAway()
	if served() != 5 || <-tickets[4].ready != nil {
		t.Error("those in line were not turned away")
	}
}

// A large message at the front of the line is not overtaken by small ones.
func TestLargeMessageIsNotOvertaken(t *testing.T) {
	t.Parallel()
	w := newWindow(10, 100)
	a := w.reserve(60)
	w.add(a)
	large := &ticket{size: 80, ready: make(chan *slot, 1)}
	small := &ticket{size: 10, ready: make(chan *slot, 1)}
	w.waiting.push(large)
	w.waiting.push(small)
	w.wake()
	if len(large.ready)+len(small.ready) != 0 {
		t.Fatal("somebody was let in although the first does not fit")
	}
	w.remove(a)
	if len(large.ready) != 1 || len(small.ready) != 1 {
		t.Errorf("large %d, small %d, want both", len(large.ready), len(small.ready))
	}
}

func TestOneMessageAlwaysFits(t *testing.T) {
	t.Parallel()
	w := newWindow(10, 100)
	if !w.admits(1000) {
		t.Error("an empty window turns away a message for its size")
	}
	w.add(w.reserve(1000))
	if w.admits(1) {
		t.Error("a full window admits another message")
	}
}

// TestWindowKeepsItsBooks settles messages in any order and compares with a
// plain list.
func TestWindowKeepsItsBooks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 40).Draw(t, "max")
		w := newWindow(limit, 1<<40)
		var inside []*slot // in order
		var bytes int64
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				size := rapid.Int64Range(0, 1000).Draw(t, "size")
				if !w.admits(size) {
					t.Skip("full")
				}
				s := w.reserve(size)
				w.add(s)
				inside = append(inside, s)
				bytes += size
			},
			"settle": func(t *rapid.T) {
				if len(inside) == 0 {
					t.Skip("empty")
				}
				i := rapid.IntRange(0, len(inside)-1).Draw(t, "which")
				s := inside[i]
				inside = slices.Delete(inside, i, i+1)
				bytes -= s.size
				w.remove(s)
			},
			"publish": func(t *rapid.T) {
				if w.next == w.tail {
					t.Skip("all published")
				}
				w.next++
			},
			"": func(t *rapid.T) {
				if w.bytes != bytes || w.used() > limit || w.next < w.head || w.next > w.tail {
					t.Fatalf("bytes %d, want %d; used %d of %d; head %d next %d tail %d", w.bytes, bytes, w.used(), limit, w.head, w.next, w.tail)
				}
				if len(inside) == 0 && w.head != w.tail {
					t.Fatalf("empty, and head %d is not tail %d", w.head, w.tail)
				}
				for i, s := range inside {
					if w.at(s.seq) != s || i == 0 && s.seq != w.head {
						t.Fatalf("message %d is not where it belongs; head %d", s.seq, w.head)
					}
				}
			},
		})
	})
}

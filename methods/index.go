package methods

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/hubgate/hubgate/hub"
)

// index is what this node knows of the commands, without their payloads.
type index struct {
	mu     sync.Mutex
	loaded chan struct{} // closed when everything was told; nil: nobody tells
	count  int
	all    map[hub.Identity][]Command // by ascending id
	untold map[key]bool               // while everything is told anew: what was known and has not come yet
}

// key says which command it is.
type key struct {
	id      hub.Identity
	command string
}

// reset forgets everything, before it is told anew. Who waits for that goes on
// waiting.
func (x *index) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count, x.all, x.untold = 0, make(map[hub.Identity][]Command), nil
	select {
	case <-x.loaded:
		x.loaded = nil
	default:
	}
	if x.loaded == nil {
		x.loaded = make(chan struct{})
	}
}

// retell says that everything is told anew. What is known stays meanwhile.
func (x *index) retell() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.untold = make(map[key]bool, x.count)
	for id, of := range x.all {
		for _, c := range of {
			if c.State != coming {
				x.untold[key{id, c.ID}] = true
			}
		}
	}
}

// load says that everything was told: what was known, and was not among it, is no more.
func (x *index) load() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for k := range x.untold {
		if i, known := x.find(k); known {
			x.remove(k.id, i)
		}
	}
	x.untold = nil
	select {
	case <-x.loaded: // it was told anew, after an interruption
	default:
		close(x.loaded)
	}
}

// await returns when everything was told, or with false when ctx has ended or
// nobody tells.
func (x *index) await(ctx context.Context) bool {
	x.mu.Lock()
	loaded := x.loaded
	x.mu.Unlock()
	if loaded == nil {
		return false
	}
	select {
	case <-loaded:
		return true
	case <-ctx.Done():
		return false
	}
}

// put enters what is newer than what it has, or is told anew: a bucket that was put
// back counts its revisions from an earlier one.
func (x *index) put(c Command) {
	c.Payload = nil
	x.mu.Lock()
	defer x.mu.Unlock()
	k := key{c.For, c.ID}
	of := x.all[c.For]
	i, known := x.find(k)
	switch {
	case !known:
		x.all[c.For] = slices.Insert(of, i, c)
		x.count++
	case of[i].Revision < c.Revision || x.untold[k]:
		of[i] = c
	}
	delete(x.untold, k)
}

// find returns where a command is, or would be, among those of its device.
func (x *index) find(k key) (i int, known bool) {
	return slices.BinarySearchFunc(x.all[k.id], Command{ID: k.command}, byID)
}

// drop removes a command unless it has a later revision than c.
func (x *index) drop(c Command) {
	x.mu.Lock()
	defer x.mu.Unlock()
	i, known := x.find(key{c.For, c.ID})
	if known && x.all[c.For][i].Revision <= c.Revision {
		x.remove(c.For, i)
	}
}

func (x *index) remove(id hub.Identity, i int) {
	x.count--
	if of := x.all[id]; len(of) > 1 {
		x.all[id] = slices.Delete(of, i, i+1)
		return
	}
	delete(x.all, id)
}

// of returns the commands of id by ascending id.
func (x *index) of(id hub.Identity) []Command {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.all[id])
}

// collect returns the commands that keep wants, by ascending id.
func (x *index) collect(keep func(Command) bool) []Command {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []Command
	for _, of := range x.all {
		for _, c := range of {
			if keep(c) {
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, byID)
	return out
}

// admit takes a place for a command that is about to be stored, until put, or drop if
// it is not. It takes none when there are as many as may be, and returns how many there
// are, for the same device and of all.
func (x *index) admit(c Command, most Limits) (own, all int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	own, all = len(x.all[c.For]), x.count
	if own >= most.Device || all >= most.All {
		return own, all
	}
	i, _ := slices.BinarySearchFunc(x.all[c.For], c, byID)
	x.all[c.For] = slices.Insert(x.all[c.For], i, Command{For: c.For, ID: c.ID, State: coming})
	x.count++
	return own, all
}

// coming is the state of a place that is taken, which is not stored yet.
const coming State = ""

func byID(a, b Command) int { return cmp.Compare(a.ID, b.ID) }

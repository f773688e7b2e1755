package backend

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/hubgate/hubgate/hub"
)

// kick makes the pump look whether there is something to publish.
func (e *Engine) kick() {
	select {
	case e.pumping <- struct{}{}:
	default:
	}
}

// pumpLoop publishes: what Store puts into the window and, after a setback,
// everything that is in flight again, in its order. Before it begins it lets
// those run who have more to store, so that one parcel takes it all.
func (e *Engine) pumpLoop(ctx context.Context) {
	p := parcel{now: &e.epoch}
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.pumping:
			runtime.Gosched()
		}
		for ctx.Err() == nil && e.pull(&p) {
			p.link.send(&p)
			e.release(p.slots)
			for _, r := range p.refused {
				e.finish(r.seq, r.err)
			}
		}
	}
}

// What one parcel holds: about as much as the server reads at once. Its last
// message may be larger.
const (
	parcelSlots = 128
	parcelBytes = 64 << 10
)

// parcel is messages to publish, with the link that they go by.
type parcel struct {
	slots   []*slot
	link    link
	refused []unsent

	epoch uint64
	now   *atomic.Uint64 // the engine's epoch
}

// unsent is a message that can't be published at all.
type unsent struct {
	seq uint64
	err error
}

// stale reports whether there was a setback since the messages were taken: they
// must not be published now.
func (p *parcel) stale() bool { return p.now.Load() != p.epoch }

// refuse gives up one of the messages.
func (p *parcel) refuse(seq uint64, code hub.Code, err error) {
	p.refused = append(p.refused, unsent{seq, &hub.Error{Code: code, Message: "NATS does not take the message: " + err.Error(), Err: err}})
}

// pull takes the next messages to publish into p and reports whether there are
// any.
func (e *Engine) pull(p *parcel) bool {
	p.slots, p.refused = p.slots[:0], p.refused[:0]
	e.mu.Lock()
	defer e.mu.Unlock()
	now, again := e.now(), uint64(0)
	for bytes := int64(0); e.mayPublish() && len(p.slots) < parcelSlots && bytes < parcelBytes; {
		s := e.win.at(e.win.next)
		e.win.next++
		if s == nil { // acknowledged meanwhile
			continue
		}
		if s.sent != 0 {
			again++
		}
		s.sent = now
		s.refs.Add(1)
		bytes += s.size
		p.slots = append(p.slots, s)
	}
	e.plan(p.slots)
	e.retried.Add(again)
	p.link, p.epoch = e.link, e.epoch.Load()
	return len(p.slots) > 0
}

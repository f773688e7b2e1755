package backend

import (
	"context"
	"errors"
	"runtime"

	"github.com/nats-io/nats.go"

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
// those run who have more to store, so that one flush takes it all.
func (e *Engine) pumpLoop(ctx context.Context) {
	var p parcel
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.pumping:
			runtime.Gosched()
		}
		for ctx.Err() == nil && e.pull(&p) {
			if e.epoch.Load() == p.epoch {
				e.published(p.link, p.slot, p.link.nc.PublishMsg(&p.msg))
			}
			e.release(p.slot)
		}
	}
}

// parcel is one publication: a message with the reply subject of its number.
type parcel struct {
	slot  *slot
	link  *link
	epoch uint64
	msg   nats.Msg
	reply []byte
}

// pull takes the next message to publish into p and reports whether there is
// one.
func (e *Engine) pull(p *parcel) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		if !e.mayPublish() {
			return false
		}
		s := e.win.at(e.win.next)
		e.win.next++
		if s == nil { // acknowledged meanwhile
			continue
		}
		if s.sent != 0 {
			e.retried.Add(1)
		}
		s.sent = e.now()
		s.refs.Add(1)
		p.slot, p.link, p.epoch = s, e.link, e.epoch.Load()
		p.reply = appendReply(p.reply[:0], e.link.inbox, s.seq)
		p.msg.Subject, p.msg.Header, p.msg.Data = s.msg.Subject, s.msg.Header, s.msg.Data
		p.msg.Reply = view(p.reply)
		return true
	}
}

// published looks at what nats.go said of a publication. A message that it
// refuses to send fails; a lost connection is for linkLoop to see.
func (e *Engine) published(l *link, s *slot, err error) {
	if err == nil {
		return
	}
	code := hub.ServerError
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		code = hub.MessageTooLarge
	case errors.Is(err, nats.ErrBadHeaderMsg), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrHeadersNotSupported):
	default:
		if !l.nc.IsClosed() {
			l.nc.Close() // a connection that can't be written to
		}
		return
	}
	e.finish(s.seq, &hub.Error{Code: code, Message: "NATS does not take the message: " + err.Error(), Err: err})
}

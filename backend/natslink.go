package backend

import (
	"errors"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/hub"
)

// natsLink is a [link] by nats.go.
type natsLink struct {
	nc    *nats.Conn
	inbox string // with the dot before the message's number
	gone  chan struct{}

	// Of the goroutine that sends.
	msg   nats.Msg // its strings and slices point into a slot, cells and reply
	cells []string // one header value each
	reply []byte

	// Of the goroutine of the subscription.
	mail mail
	to   func(*mail)
}

var _ link = (*natsLink)(nil)

// linkByNATS makes a link on a connection that dial makes.
func linkByNATS(dial func(...nats.Option) (*nats.Conn, error), replies func(*mail)) (link, error) {
	l := &natsLink{gone: make(chan struct{}), msg: nats.Msg{Header: nats.Header{}}, to: replies}
	nc, err := dial(
		nats.NoReconnect(),
		nats.SkipSubjectValidation(), // ours are made by package subject
		nats.ClosedHandler(func(*nats.Conn) { close(l.gone) }),
	)
	if err != nil {
		return nil, err
	}
	l.nc = nc
	l.inbox = nc.NewInbox() + "."
	sub, err := nc.Subscribe(l.inbox+"*", l.take)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // the window bounds it
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return l, nil
}

// take hands on what came to the inbox.
func (l *natsLink) take(m *nats.Msg) {
	seq, err := strconv.ParseUint(m.Subject[len(l.inbox):], replyBase, 64)
	if err != nil {
		return
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		l.mail.addNobody(to{seq: seq})
	} else {
		l.mail.add(to{seq: seq}, m.Data)
	}
	l.to(&l.mail)
}

func (l *natsLink) send(p *parcel) {
	for _, s := range p.slots {
		if p.stale() {
			return
		}
		l.load(s)
		err := l.nc.PublishMsg(&l.msg)
		l.unload()
		if err != nil && !l.refused(p, s, err) {
			return
		}
	}
}

// load makes the message of a slot. nats.go keeps nothing of it.
func (l *natsLink) load(s *slot) {
	l.reply = strconv.AppendUint(append(l.reply[:0], l.inbox...), s.seq, replyBase)
	l.msg.Subject, l.msg.Reply, l.msg.Data = view(s.subject), view(l.reply), s.body
	n := s.headers.Len()
	if cap(l.cells) < n {
		l.cells = make([]string, n, n+n/2)
	}
	l.cells = l.cells[:n]
	for i := range n {
		name, value := s.headers.At(i)
		l.cells[i] = view(value)
		l.msg.Header[view(name)] = l.cells[i : i+1 : i+1]
	}
}

// unload forgets the strings of a slot before the bytes behind them change.
func (l *natsLink) unload() {
	clear(l.msg.Header)
	clear(l.cells)
	l.msg.Subject, l.msg.Reply, l.msg.Data = "", "", nil
	if len(l.cells) > keepHeaders {
		l.msg.Header, l.cells = nats.Header{}, nil
	}
}

// refused looks at what nats.go said of a publication, and reports whether the next
// one may go. A message that it refuses to send fails.
func (l *natsLink) refused(p *parcel, s *slot, err error) bool {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		p.refuse(s.seq, hub.MessageTooLarge, err)
	case errors.Is(err, nats.ErrBadHeaderMsg), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrHeadersNotSupported):
		p.refuse(s.seq, hub.ServerError, err)
	default:
		l.close() // it can't be written to
		return false
	}
	return true
}

func (*natsLink) sole() bool { return false }

func (l *natsLink) lost() <-chan struct{} { return l.gone }

func (l *natsLink) cause() error { return l.nc.LastError() }

func (l *natsLink) close() { l.nc.Close() }

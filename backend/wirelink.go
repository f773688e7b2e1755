package backend

import (
	"bytes"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/hub"
)

// wireLink is a [link] by a [wire], which hands on replies by the batch.
type wireLink struct {
	*wire

	alone bool   // see sole; set before the first publication
	out   []byte // of the goroutine that sends
}

var _ link = (*wireLink)(nil)

// linkByWire connects to the server in this process that nats.go's options name,
// as they say.
func linkByWire(o *nats.Options, replies func(*mail)) (link, error) {
	w, err := openWire(o, newWireReader(wireBuffer), &wireMail{to: replies})
	if err != nil {
		return nil, err
	}
	return &wireLink{wire: w}, nil
}

// keepOut is how much room for writing is kept: that of a parcel of usual messages.
const keepOut = 4 * parcelBytes

func (l *wireLink) send(p *parcel) {
	l.out = l.out[:0]
	most := l.maxPayload.Load()
	for _, s := range p.slots {
		if int64(payloadSize(s)) > most {
			p.refuse(s.seq, hub.MessageTooLarge, nats.ErrMaxPayload)
			continue
		}
		l.out = appendPublication(l.out, l.inbox, p.epoch+1, s)
	}
	if len(l.out) == 0 || p.stale() {
		return
	}
	if err := l.write(l.out); err != nil {
		l.end(err)
	}
	if cap(l.out) > keepOut {
		l.out = nil
	}
}

func (l *wireLink) sole() bool { return l.alone }

func (l *wireLink) lost() <-chan struct{} { return l.gone }

func (l *wireLink) cause() error { return l.err }

// wireMail collects replies.
type wireMail struct {
	mail
	to func(*mail)
}

// take implements [wireReceiver].
func (m *wireMail) take(token []byte, f frame) {
	t, ok := parseReply(token)
	if !ok {
		return
	}
	if len(f.data) == 0 && bytes.HasPrefix(f.headers, []byte(wireNobody)) {
		m.addNobody(t)
		return
	}
	m.add(t, f.data)
}

// read implements [wireReceiver].
func (m *wireMail) read() {
	if len(m.responses) > 0 {
		m.to(&m.mail)
	}
}

package direct

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Patience is how long an [Asker] waits for a reply at most, whatever its context
// says. One for each request would cost more than the request's own way.
const Patience = 5 * time.Second

// Asker sends a request to NATS and waits for one reply. It is safe for concurrent
// use, and fails as [nats.Conn.RequestMsgWithContext] does; with
// [context.DeadlineExceeded] when [Patience] is over.
type Asker interface {
	Ask(ctx context.Context, r Request) (Reply, error)
}

// Request is what is asked.
type Request struct {
	Subject string
	Headers Headers
	Data    []byte
}

// Reply is what was answered.
type Reply struct {
	Header Headers // nil: there are none, or none that can be read
	Data   []byte
	// HeaderBytes is how long the headers are on the wire.
	HeaderBytes int
}

// AskerOf is how requests for js are sent: as js itself says, if it has a method
// Asker, and else by its connection.
func AskerOf(js jetstream.JetStream) Asker {
	if own, ok := js.(interface{ Asker() Asker }); ok {
		return own.Asker()
	}
	return ByConn(js.Conn())
}

// ByConn asks by a connection.
func ByConn(nc *nats.Conn) Asker { return conn{nc} }

type conn struct{ nc *nats.Conn }

// Ask implements [Asker].
func (c conn) Ask(ctx context.Context, r Request) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	m := &nats.Msg{Subject: r.Subject, Data: r.Data}
	if len(r.Headers) > 0 {
		m.Header = r.Headers.Map()
	}
	reply, err := c.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return Reply{}, err
	}
	return replyOf(reply), nil
}

func replyOf(m *nats.Msg) Reply {
	n := m.Size() - len(m.Subject) - len(m.Reply) - len(m.Data)
	return Reply{Header: headersOf(m.Header), Data: m.Data, HeaderBytes: n}
}

package backend

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// lateRequest is a request that is answered after its handler has returned.
// micro's own answers must not be used then: they write down their failure for
// the endpoint's statistics, which are read when the handler returns.
type lateRequest struct {
	micro.Request

	nc *nats.Conn
}

// Respond answers with a body.
func (r lateRequest) Respond(body []byte, opts ...micro.RespondOpt) error {
	m := &nats.Msg{Subject: r.Reply(), Data: body}
	for _, opt := range opts {
		opt(m)
	}
	return r.nc.PublishMsg(m)
}

// Error answers with a code and a sentence.
func (r lateRequest) Error(code, description string, body []byte, opts ...micro.RespondOpt) error {
	failure := micro.Headers{micro.ErrorCodeHeader: {code}, micro.ErrorHeader: {description}}
	return r.Respond(body, append([]micro.RespondOpt{micro.WithHeaders(failure)}, opts...)...)
}

package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
)

const (
	// pullMessages is how many messages a feed asks a consumer for at once; the
	// largest twins make 18 MB of them. A bound in bytes as well would end, with
	// some servers and sizes, without a word.
	pullMessages = 256
	// pullWait is after how long JetStream answers that there is nothing, and
	// pullLate how much longer it may be silent. A server of a cluster that dies
	// takes the consumer along without a word.
	pullWait = 4 * time.Second
	pullLate = 4 * time.Second
)

// pull reads a consumer batch by batch. The readers of nats.go always ask for more,
// so that each message is delivered by itself and wakes, on its way, five
// goroutines; here JetStream delivers what has gathered when it is asked.
type pull struct {
	nc      *nats.Conn
	sub     *nats.Subscription
	next    string // where it is asked
	request []byte
	come    chan *nats.Msg
}

// newPull begins to read a consumer.
func newPull(js jetstream.JetStream, consumer *jetstream.ConsumerInfo) (*pull, error) {
	nc := js.Conn()
	// With no_wait and a time the server waits for the first message, and for no other.
	request, err := json.Marshal(map[string]any{"batch": pullMessages, "expires": pullWait, "no_wait": true})
	if err != nil {
		return nil, err
	}
	p := &pull{
		nc: nc, next: direct.API(js) + "CONSUMER.MSG.NEXT." + consumer.Stream + "." + consumer.Name,
		request: request, come: make(chan *nats.Msg, pullMessages+1),
	}
	p.sub, err = nc.ChanSubscribe(nc.NewInbox(), p.come)
	return p, err
}

func (p *pull) stop() { _ = p.sub.Unsubscribe() }

// errSilent says that the consumer, or its server, is gone.
var errSilent = errors.New("the consumer does not answer")

// batch waits for messages and visits those that are there, pullMessages at most.
// It may visit none.
func (p *pull) batch(ctx context.Context, visit func(*nats.Msg) error) error {
	if err := p.nc.PublishRequest(p.next, p.sub.Subject, p.request); err != nil {
		return err
	}
	late := time.NewTimer(pullWait + pullLate)
	defer late.Stop()
	for range pullMessages {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return errSilent
		case m := <-p.come:
			if end, err := endOfBatch(m); end {
				return err
			}
			if err := visit(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// endOfBatch reports whether a message is the server's word that there is no more,
// and whether something is wrong.
func endOfBatch(m *nats.Msg) (end bool, err error) {
	status := m.Header.Get("Status")
	switch {
	case status == "" || m.Reply != "":
		return false, nil
	case status == "404", status == "408":
		return true, nil
	case status == "503":
		return true, nats.ErrNoResponders
	default:
		return true, fmt.Errorf("the consumer is not read: %s %s", status, m.Header.Get("Description"))
	}
}

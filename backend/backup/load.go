package backup

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// inFlight is how many messages wait for their acknowledgement.
const inFlight = 1024

// publisher stores messages in their order, many at a time.
type publisher struct {
	js jetstream.JetStream

	mu  sync.Mutex
	err error // the first
}

func newPublisher(a Account) (*publisher, error) {
	p := &publisher{}
	opts := []jetstream.JetStreamOpt{
		jetstream.WithPublishAsyncMaxPending(inFlight), jetstream.WithPublishAsyncTimeout(patience),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { p.fail(err) }),
	}
	var err error
	if a.Domain == "" {
		p.js, err = jetstream.New(a.Conn, opts...)
	} else {
		p.js, err = jetstream.NewWithDomain(a.Conn, a.Domain, opts...)
	}
	return p, err
}

func (p *publisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

func (p *publisher) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		return nil
	}
	return hub.Errorf(hub.ServiceUnavailable, "store what the backup has: %w", p.err)
}

func (p *publisher) publish(m *nats.Msg) error {
	if _, err := p.js.PublishMsgAsync(m, jetstream.WithStallWait(patience)); err != nil {
		p.fail(err)
	}
	return p.failed()
}

// wait returns when all is stored.
func (p *publisher) wait(ctx context.Context) error {
	select {
	case <-p.js.PublishAsyncComplete():
		return p.failed()
	case <-time.After(2 * patience):
		return hub.Errorf(hub.GatewayTimeout, "JetStream has not acknowledged %d messages", p.js.PublishAsyncPending())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// load fills a bucket with the values that r has.
func (r *restoring) load(ctx context.Context, asset Asset, from io.Reader) error {
	p, err := newPublisher(r.Account)
	if err != nil {
		return err
	}
	keys := "$KV." + asset.Stream[len(bucketPrefix):] + "."
	if r.Domain != "" { // a bucket of a domain is written there
		keys = "$JS." + r.Domain + ".API." + keys
	}
	err = eachRecord(from, asset, func(rec record) error {
		if r.dropped(rec, asset.Stream) || ctx.Err() != nil {
			return ctx.Err()
		}
		r.fit(&rec, asset.Stream)
		return p.publish(rec.message(keys + rec.Key))
	})
	if err != nil {
		return err
	}
	return p.wait(ctx)
}

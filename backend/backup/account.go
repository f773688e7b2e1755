package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

const (
	requestTimeout = 10 * time.Second
	// settleTimeout is for a server that unpacks what it has been sent.
	settleTimeout = 10 * time.Minute
)

// Account is a hub's place in NATS.
type Account struct {
	Conn   *nats.Conn
	Prefix string // empty: hub
	Domain string // of JetStream, where leaf nodes have one
}

func (a Account) names() subject.Names { return subject.Names{Prefix: a.Prefix} }

func (a Account) prefix() string {
	if a.Prefix == "" {
		return subject.DefaultPrefix
	}
	return a.Prefix
}

func (a Account) jetStream() (jetstream.JetStream, error) {
	if a.Domain == "" {
		return jetstream.New(a.Conn)
	}
	return jetstream.NewWithDomain(a.Conn, a.Domain)
}

// apiSubject is that of a request to JetStream, such as STREAM.INFO.
func (a Account) apiSubject(operation, stream string) string {
	api := "$JS.API."
	if a.Domain != "" {
		api = "$JS." + a.Domain + ".API."
	}
	return api + operation + "." + stream
}

// apiAnswer is what all answers of JetStream have.
type apiAnswer struct {
	Error *jetstream.APIError `json:"error"`
}

// nobodyThere is for how long it may be that nobody takes a request: servers of a
// cluster lose each other for a moment, and nobody has got it then.
const nobodyThere = 2 * time.Second

// ask makes one request to JetStream. nats.go has no snapshots, and would drop
// what a newer server says of a stream.
func (a Account) ask(ctx context.Context, operation, stream string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask JetStream: %w", err)
	}
	m, err := a.request(ctx, a.apiSubject(operation, stream), data)
	if err != nil {
		return a.fault(operation, stream, err)
	}
	return a.read(operation, stream, m.Data, answer)
}

// request asks again for a while when nobody is there to take it, which has no effect.
func (a Account) request(ctx context.Context, to string, data []byte) (*nats.Msg, error) {
	m, err := a.Conn.RequestWithContext(ctx, to, data)
	for began := time.Now(); errors.Is(err, nats.ErrNoResponders) && time.Since(began) < nobodyThere; {
		select {
		case <-time.After(nobodyThere / 20):
		case <-ctx.Done():
		}
		m, err = a.Conn.RequestWithContext(ctx, to, data)
	}
	return m, err
}

// read decodes an answer, which may be an error.
func (a Account) read(operation, stream string, data []byte, answer any) error {
	var all apiAnswer
	if err := json.Unmarshal(data, &all); err != nil {
		return hub.Errorf(hub.ServerError, "%s: JetStream's answer to %s is not JSON: %w", stream, operation, err)
	}
	if all.Error != nil {
		return hub.Errorf(hub.ServiceUnavailable, "%s: JetStream refuses %s: %w", stream, operation, all.Error)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return hub.Errorf(hub.ServerError, "%s: JetStream's answer to %s is strange: %w", stream, operation, err)
	}
	return nil
}

func (a Account) fault(operation, stream string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) {
		return hub.Errorf(hub.ServiceUnavailable, "%s: JetStream does not answer %s: is it enabled for this account, has the stream a leader, and may this user ask that? (%w)", stream, operation, err)
	}
	return hub.Errorf(hub.ServiceUnavailable, "%s: ask JetStream for %s: %w", stream, operation, err)
}

// streams lists those that belong to the hub, whatever version of it, or its
// operators, have made them.
func (a Account) streams(ctx context.Context) ([]string, error) {
	js, err := a.jetStream()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var all []string
	list := js.StreamNames(ctx)
	for name := range list.Name() {
		all = append(all, name)
	}
	if err := list.Err(); err != nil {
		return nil, hub.Errorf(hub.ServiceUnavailable, "list the streams: %w", err)
	}
	return belonging(all, a.prefix()), nil
}

// belonging returns those of all streams that belong to the hub with a prefix,
// and not to one whose prefix begins with it.
func belonging(all []string, prefix string) []string {
	longer := []string{}
	for _, name := range all {
		other, isDevices := strings.CutSuffix(strings.TrimPrefix(name, bucketPrefix), "_devices")
		if isDevices && strings.HasPrefix(name, bucketPrefix) && strings.HasPrefix(other, prefix+"_") {
			longer = append(longer, other)
		}
	}
	var own []string
	for _, name := range all {
		if !of(name, prefix) {
			continue
		}
		foreign := false
		for _, other := range longer {
			foreign = foreign || of(name, other)
		}
		if !foreign {
			own = append(own, name)
		}
	}
	return own
}

const bucketPrefix = "KV_"

func of(stream, prefix string) bool {
	if bucket, ok := strings.CutPrefix(stream, bucketPrefix); ok {
		return strings.HasPrefix(bucket, prefix+"_")
	}
	return strings.HasPrefix(stream, strings.ToUpper(prefix)+"_")
}

// isBucket tells the stream of a bucket from others.
func isBucket(stream string) bool { return strings.HasPrefix(stream, bucketPrefix) }

// passing are streams that say how things are while nodes run, and nothing that
// is worth keeping.
func (a Account) passing(stream string) bool {
	return stream == a.names().RestoreStream() || stream == bucketPrefix+a.names().NodesBucket()
}

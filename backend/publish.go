package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
)

// publisher stores single messages and waits for each, as
// [jetstream.Publisher] does and with the same errors, but reads JetStream's
// acknowledgement without decoding JSON.
type publisher struct {
	asker   direct.Asker
	commits *commits
}

// publisherOf is the publisher of js, which waits for the disk if js does.
func publisherOf(js jetstream.JetStream) publisher {
	p := publisher{asker: direct.AskerOf(js)}
	if d, ok := js.(durable); ok {
		p.commits = d.commits
	}
	return p
}

// replace stores a message if the last message of its subject has this sequence number,
// and returns its own.
func (p publisher) replace(ctx context.Context, r direct.Request, last uint64) (uint64, error) {
	r.Headers = append(r.Headers, direct.Header{Name: jetstream.ExpectedLastSubjSeqHeader, Value: strconv.FormatUint(last, 10)})
	sequence, err := p.publish(ctx, r)
	if p.commits == nil {
		return sequence, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return onceCommitted(ctx, p.commits, sequence, err)
}

// publish asks again while nobody takes messages for the stream: it may be between
// two leaders.
func (p publisher) publish(ctx context.Context, r direct.Request) (uint64, error) {
	reply, err := p.asker.Ask(ctx, r)
	for try := 0; errors.Is(err, nats.ErrNoResponders) && try < jetstream.DefaultPubRetryAttempts; try++ {
		select {
		case <-ctx.Done():
		case <-time.After(jetstream.DefaultPubRetryWait):
		}
		reply, err = p.asker.Ask(ctx, r)
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return 0, jetstream.ErrNoStreamResponse
	case err != nil:
		return 0, err
	}
	return sequenceOf(reply.Data)
}

// sequenceOf reads the answer to a message that was to be stored.
func sequenceOf(reply []byte) (uint64, error) {
	if a, ok := parseAck(reply); ok && len(a.stream) > 0 {
		return a.sequence(), nil
	}
	var answer struct {
		*jetstream.PubAck
		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(reply, &answer); {
	case err != nil:
		return 0, jetstream.ErrInvalidJSAck
	case answer.Error != nil:
		return 0, fmt.Errorf("nats: %w", answer.Error)
	case answer.PubAck == nil || answer.Stream == "":
		return 0, jetstream.ErrInvalidJSAck
	default:
		return answer.Sequence, nil
	}
}

// isKey reports whether JetStream's clients take a key.
func isKey(key string) bool {
	if key == "" || key[0] == '.' || key[len(key)-1] == '.' || strings.Contains(key, "..") {
		return false
	}
	for _, c := range []byte(key) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '/', c == '_', c == '=', c == '.':
		default:
			return false
		}
	}
	return true
}

package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
)

// Messages go by one request if there are so many of them, and if they lie close
// enough: JetStream looks at each message between the first and the last.
const (
	purgeFrom   = 4
	purgeSpread = 256 // numbers for each message
)

// RemoveAll implements [c2d.Bulk].
func (s *C2DStore) RemoveAll(ctx context.Context, r c2d.Removal) error {
	if s.isClose(r.Sequences) && s.outages.none(r.AloneSince) && s.purge(ctx, r.Device, r.Sequences) == nil {
		return nil
	}
	for _, n := range r.Sequences {
		if err := s.Remove(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (s *C2DStore) isClose(sequences []uint64) bool {
	count := len(sequences)
	return count >= purgeFrom && sequences[count-1]-sequences[0] < uint64(count)*purgeSpread
}

// purge deletes the messages of a device up to the last of these.
func (s *C2DStore) purge(ctx context.Context, device string, sequences []uint64) error {
	last := sequences[len(sequences)-1]
	return s.command(ctx, "STREAM.PURGE", fmt.Appendf(nil, `{"filter":%q,"seq":%d}`, s.names.C2D(device), last+1))
}

// Remove implements [c2d.Store].
func (s *C2DStore) Remove(ctx context.Context, sequence uint64) error {
	if s.command(ctx, "STREAM.MSG.DELETE", fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, sequence)) == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := s.queue.DeleteMsg(ctx, sequence) // which tells what is wrong
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if held, holdsErr := s.Holds(ctx, sequence); holdsErr == nil && !held {
		return nil
	}
	return hub.Errorf(hub.ServiceUnavailable, "delete message %d of stream %s: %w", sequence, s.names.C2DStream(), err)
}

// errNotDone means that JetStream has not done what it was told.
var errNotDone = errors.New("JetStream has refused a command")

// command has JetStream do something with the stream of the queues. It costs less
// than the same by the client of JetStream, and does not tell why it fails.
func (s *C2DStore) command(ctx context.Context, what string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := direct.AskerOf(s.js).Ask(ctx, direct.Request{Subject: s.api + what + "." + s.names.C2DStream(), Data: body})
	if err != nil {
		return err
	}
	if !bytes.Contains(answer.Data, []byte(`"success":true`)) { // in a string of JSON the quotes are escaped
		return errNotDone
	}
	return s.commits.wait(ctx)
}

// outages knows when the connection to NATS was lost. A server that was away may
// have lost the end of a stream in a crash, and gives its numbers to other messages:
// what was known of them is not true any more.
type outages struct {
	nc *nats.Conn

	mu    sync.Mutex
	count uint64    // of those that were seen
	last  time.Time // when the last one was seen, after its end
}

// none reports whether there was none since a time that is not zero.
func (o *outages) none(since time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := o.nc.Stats().Reconnects; n != o.count {
		o.count, o.last = n, time.Now()
	}
	return !since.IsZero() && o.last.Before(since)
}

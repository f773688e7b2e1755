package backend

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

// countAge is how old the counts of all queues may be.
const countAge = time.Second

// queueCounts counts the messages that wait for devices, as the stream of the
// queues has them by subject. It is safe for concurrent use.
type queueCounts struct {
	queue jetstream.Stream    // for one device, which somebody waits for
	first *direct.Reader      // of the same
	js    jetstream.JetStream // for all, which is a lot
	names subject.Names
	log   zerolog.Logger
	age   time.Duration                     // that counts may have
	told  func(device string, messages int) // of each count that has changed

	mu      sync.Mutex
	checked time.Time
	state   queueState
	counts  map[string]int
}

// queueState changes with every message that comes or goes.
type queueState struct {
	created    int64
	last, held uint64
}

func stateOf(info *jetstream.StreamInfo) queueState {
	return queueState{info.Created.UnixNano(), info.State.LastSeq, info.State.Msgs}
}

// one counts the queue of one device, as it is now. Most queues are empty, which
// a look at the first message tells for less than a count.
func (c *queueCounts) one(ctx context.Context, device string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	subjects := c.names.C2D(device)
	if _, err := c.first.Next(ctx, 0, subjects); errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	info, err := c.queue.Info(ctx, jetstream.WithSubjectFilter(subjects))
	if err != nil {
		return 0, hub.Errorf(hub.ServiceUnavailable, "count the messages for %s: %w", device, err)
	}
	return int(info.State.Subjects[subjects]), nil //nolint:gosec // a queue is short
}

// refresh counts all queues, unless they were counted a moment ago. When that
// fails, what was counted before is kept.
func (c *queueCounts) refresh(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < c.age {
		return
	}
	if err := c.count(ctx); err != nil {
		c.log.Debug().Err(err).Msg("the queues could not be counted")
		return
	}
	c.checked = time.Now()
}

func (c *queueCounts) count(ctx context.Context) error {
	s, err := c.js.Stream(ctx, c.names.C2DStream())
	if err != nil {
		return err
	}
	if stateOf(s.CachedInfo()) == c.state {
		return nil
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(c.names.C2DAll()))
	if err != nil {
		return err
	}
	counts := make(map[string]int, len(info.State.Subjects))
	prefix := strings.TrimSuffix(c.names.C2DAll(), "*")
	for s, n := range info.State.Subjects {
		if id, err := subject.ParseKey(strings.TrimPrefix(s, prefix)); err == nil && !id.IsModule() {
			counts[id.Device] = int(n) //nolint:gosec // a queue is short
		}
	}
	for device := range c.counts {
		if counts[device] == 0 {
			c.told(device, 0)
		}
	}
	for device, n := range counts {
		if c.counts[device] != n {
			c.told(device, n)
		}
	}
	c.counts, c.state = counts, stateOf(info)
	return nil
}

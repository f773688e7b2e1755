package backend

import (
	"context"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/c2d"
)

const (
	defaultC2DBytes        = 512 << 20
	defaultFeedbackBytes   = 256 << 20
	defaultDeadLetterBytes = 256 << 20
	maxC2DStateBytes       = 256 << 20
	// outcomeWindow is for how long a second copy of a feedback or of a dead
	// letter vanishes.
	outcomeWindow = 10 * time.Minute
	// c2dStateGrace is for how much longer than any message the state of a device
	// is kept that does not change.
	c2dStateGrace = 24 * time.Hour
)

// c2dAssets are the streams and the bucket of cloud-to-device messages.
func (c Config) c2dAssets() []asset {
	n := c.names()
	state := c.bucket(n.C2DBucket(), "deliveries of cloud-to-device messages", maxC2DStateBytes)
	state.want.MaxAge = c.C2D.Longest() + c2dStateGrace
	state.fixed.MaxAge = state.want.MaxAge
	feedback := c.stream(n.FeedbackStream(), n.FeedbackAll(), Limits{}, defaultFeedbackBytes)
	feedback.want.Duplicates = outcomeWindow
	dead := c.stream(n.DeadLetterStream(), n.DeadLetterAll(), Limits{}, defaultDeadLetterBytes)
	dead.want.Duplicates = outcomeWindow
	return []asset{state, feedback, dead, c.c2dQueue()}
}

// c2dQueue is the stream of all queues. Nothing in it goes by age: who expires
// gets a feedback. What is published beyond the depth is refused, and its
// sender hears of it. The server announces every message when it is stored, by
// its headers: that wakes the owner of the device, and no consumer is needed.
func (c Config) c2dQueue() asset {
	n := c.names()
	a := c.stream(n.C2DStream(), n.C2DAll(), Limits{}, defaultC2DBytes)
	a.want.MaxAge = 0
	a.want.Discard = jetstream.DiscardNew
	a.want.DiscardNewPerSubject = true
	a.want.MaxMsgsPerSubject = c2d.MaxDepth
	if c.C2D.Depth > 0 {
		a.want.MaxMsgsPerSubject, a.depth = int64(c.C2D.Depth), int64(c.C2D.Depth)
	}
	a.want.Metadata = c.C2D.Metadata()
	a.want.AllowMsgTTL = true
	a.want.RePublish = &jetstream.RePublish{
		Source: n.C2DAll(), Destination: n.C2DStoredPattern(), HeadersOnly: true,
	}
	return a
}

// mergeQueue is what merge does to a stream of queues. The depth is the
// operator's, unless the configuration names one.
func (a asset) mergeQueue(next *jetstream.StreamConfig) {
	if a.want.RePublish == nil {
		return
	}
	next.RePublish = a.want.RePublish
	next.Discard = jetstream.DiscardNew
	next.DiscardNewPerSubject = true
	next.AllowMsgTTL = true
	if next.MaxMsgsPerSubject <= 0 || a.depth > 0 {
		next.MaxMsgsPerSubject = a.want.MaxMsgsPerSubject
	}
	next.Metadata = maps.Clone(next.Metadata)
	if next.Metadata == nil {
		next.Metadata = map[string]string{}
	}
	maps.Copy(next.Metadata, a.want.Metadata)
}

// spareDeep keeps the depth of queues as it is while one of them is deeper than
// it is to be: JetStream would throw its oldest messages away, and nobody would
// hear of it.
func (k keeper) spareDeep(ctx context.Context, have jetstream.StreamConfig, next *jetstream.StreamConfig) error {
	if next.RePublish == nil || next.MaxMsgsPerSubject >= have.MaxMsgsPerSubject && have.MaxMsgsPerSubject > 0 {
		return nil
	}
	s, err := k.js.Stream(ctx, have.Name)
	if err != nil {
		return err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(have.Subjects[0]))
	if err != nil {
		return err
	}
	deepest := uint64(0)
	for _, n := range info.State.Subjects {
		deepest = max(deepest, n)
	}
	if deepest > uint64(next.MaxMsgsPerSubject) { //nolint:gosec // above 0
		k.log.Warn().Str("stream", have.Name).Uint64("messages", deepest).Int64("queue_depth", next.MaxMsgsPerSubject).
			Msg("a queue holds more messages than c2d.queue_depth: the depth is not lowered before a start that finds less")
		next.MaxMsgsPerSubject = have.MaxMsgsPerSubject
	}
	return nil
}

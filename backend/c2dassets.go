package backend

import (
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
	// c2dStateAge is for how long the state of a device is kept that does not
	// change: longer than any message.
	c2dStateAge = c2d.MaxTTL + 24*time.Hour
)

// c2dAssets are the streams and the bucket of cloud-to-device messages.
func (c Config) c2dAssets() []asset {
	n := c.names()
	state := c.bucket(n.C2DBucket(), "deliveries of cloud-to-device messages", maxC2DStateBytes)
	state.want.MaxAge = c2dStateAge
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
	a.want.AllowMsgTTL = true
	a.want.RePublish = &jetstream.RePublish{
		Source: n.C2DAll(), Destination: n.C2DStoredPattern(), HeadersOnly: true,
	}
	return a
}

// mergeQueue is what merge does to a stream of queues. The depth is the
// operator's, if there is one.
func (a asset) mergeQueue(next *jetstream.StreamConfig) {
	if a.want.RePublish == nil {
		return
	}
	next.RePublish = a.want.RePublish
	next.Discard = jetstream.DiscardNew
	next.DiscardNewPerSubject = true
	next.AllowMsgTTL = true
	if next.MaxMsgsPerSubject <= 0 {
		next.MaxMsgsPerSubject = a.want.MaxMsgsPerSubject
	}
}

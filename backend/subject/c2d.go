package subject

import "github.com/hubgate/hubgate/hub"

// C2DStream is the stream of cloud-to-device messages, HUB_C2D.
func (n Names) C2DStream() string { return n.upper() + "_C2D" }

// FeedbackStream is the stream of what became of them, HUB_FEEDBACK.
func (n Names) FeedbackStream() string { return n.upper() + "_FEEDBACK" }

// DeadLetterStream is the stream of those that were not delivered,
// HUB_DEADLETTERS.
func (n Names) DeadLetterStream() string { return n.upper() + "_DEADLETTERS" }

// C2DBucket is the KV bucket of what is known of messages that are on their
// way, hub_c2d.
func (n Names) C2DBucket() string { return n.prefix() + "_c2d" }

// C2D is where messages to a device are published: hub.c2d.{device}.
func (n Names) C2D(device string) string { return n.ofDevice(".c2d.", device) }

// C2DAll matches the messages to all devices: hub.c2d.*. What has one more
// token is an operation, see [Names.C2DPurge].
func (n Names) C2DAll() string { return n.prefix() + ".c2d.*" }

// C2DStored is where the headers of a message to a device appear once the
// message is stored: hub.session.c2d.{device}. It is core NATS between nodes.
func (n Names) C2DStored(device string) string { return n.ofDevice(".session.c2d.", device) }

// C2DStoredAll matches those of all devices.
func (n Names) C2DStoredAll() string { return n.prefix() + ".session.c2d.*" }

// C2DPurge empties the queue of a device: hub.c2d.purge.{device}.
func (n Names) C2DPurge(device string) string { return n.ofDevice(".c2d.purge.", device) }

// C2DPurgeAll matches the purges of all devices: hub.c2d.purge.*.
func (n Names) C2DPurgeAll() string { return n.prefix() + ".c2d.purge.*" }

// C2DName is the name of the service as nats micro shows it.
func (n Names) C2DName() string { return n.prefix() + "-c2d" }

// Feedback is where the outcomes of messages to a device are published:
// hub.feedback.{device}.
func (n Names) Feedback(device string) string { return n.ofDevice(".feedback.", device) }

// FeedbackAll matches the outcomes of all devices: hub.feedback.*.
func (n Names) FeedbackAll() string { return n.prefix() + ".feedback.*" }

// FeedbackConsumer is the durable consumer of FeedbackStream by which readers
// over HTTP share it, hub-http.
func (n Names) FeedbackConsumer() string { return n.prefix() + "-http" }

// DeadLetter is where the messages to a device go that were not delivered:
// hub.deadletter.{device}.
func (n Names) DeadLetter(device string) string { return n.ofDevice(".deadletter.", device) }

// DeadLetterAll matches those of all devices: hub.deadletter.*.
func (n Names) DeadLetterAll() string { return n.prefix() + ".deadletter.*" }

func (n Names) ofDevice(middle, device string) string {
	return string(n.appendIdentity(nil, middle, hub.Identity{Device: device}))
}

// C2DStoredPattern is the destination to which a stream republishes what
// [Names.C2DAll] matches.
func (n Names) C2DStoredPattern() string { return n.prefix() + ".session.c2d.{{wildcard(1)}}" }

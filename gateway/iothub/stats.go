package iothub

import "github.com/hubgate/hubgate/meter"

// incoming is what a device may send, and outgoing what it may be sent.
type (
	incoming uint8
	outgoing uint8
)

const (
	telemetryMessage incoming = iota
	twinGet
	twinReported
	methodAnswer
	credentialRequest
	receivedKinds // how many there are
)

const (
	twinAnswer outgoing = iota
	desiredChange
	methodCall
	c2dMessage
	c2dRepetition
	credentialAnswer
	sentKinds // how many there are
)

func (k incoming) String() string {
	return [...]string{"telemetry", "twin_get", "twin_reported", "method_answer", "credential_request"}[k]
}

func (k outgoing) String() string {
	return [...]string{"twin_answer", "twin_desired", "method_call", "c2d", "c2d_redelivery", "credential_answer"}[k]
}

// counters is what a face counts.
type counters struct {
	received [receivedKinds]meter.Counter
	sent     [sentKinds]meter.Counter

	gets, patches meter.Operation // of twins, by devices
	calls         meter.Operation // of methods, of devices that are connected here
}

// Stats is what a face has done so far, for the devices of this node.
type Stats struct {
	Received map[string]uint64 // messages, by kind
	Sent     map[string]uint64 // messages, by kind

	TwinGets    meter.Operated
	TwinPatches meter.Operated // of reported properties
	Calls       meter.Operated // of direct methods, from the call to the answer
	LateAnswers uint64         // to calls that nobody waited for any more
}

// Stats returns the numbers as they are.
func (f *Face) Stats() Stats {
	n := &f.counts
	all := Stats{
		Received: make(map[string]uint64, receivedKinds), Sent: make(map[string]uint64, sentKinds),
		TwinGets: n.gets.Counts(), TwinPatches: n.patches.Counts(), Calls: n.calls.Counts(), LateAnswers: f.LateAnswers(),
	}
	for k := range receivedKinds {
		all.Received[k.String()] = n.received[k].Load()
	}
	for k := range sentKinds {
		all.Sent[k.String()] = n.sent[k].Load()
	}
	return all
}

// came counts a message of the device.
func (h *handler) came(k incoming) { h.face.counts.received[k].Add(1) }

// went counts a message to the device, unless it could not be sent.
func (h *handler) went(k outgoing, err error) {
	if err == nil {
		h.face.counts.sent[k].Add(1)
	}
}

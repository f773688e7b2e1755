package telemetry

import "github.com/hubgate/hubgate/hub"

// Sender is what the hub vouches for of a connection that sends telemetry. Its
// headers are encoded once for all its messages. It must not be changed, and may
// be used from any goroutine.
type Sender struct {
	id         hub.Identity
	authMethod string
	generation string
	modelID    string
	headers    Headers
}

// NewSender returns the sender with an identity, one of the AuthMethod constants,
// the generationId of the identity, and the model id of the connection, which may be
// empty.
func NewSender(id hub.Identity, authMethod, generation, modelID string) *Sender {
	s := &Sender{id: id, authMethod: authMethod, generation: generation, modelID: modelID}
	m := Message{From: id, AuthMethod: authMethod, Generation: generation, ModelID: modelID, Source: SourceTelemetry}
	m.vouched(&s.headers)
	return s
}

// SentBy says that s has sent the message. From, AuthMethod, Generation, ModelID and
// Source must not be changed after it.
func (m *Message) SentBy(s *Sender) {
	m.From, m.AuthMethod, m.Generation, m.ModelID, m.Source = s.id, s.authMethod, s.generation, s.modelID, SourceTelemetry
	m.sender = s
}

// vouched appends the headers of what is the same for all messages of a sender.
func (m *Message) vouched(h *Headers) {
	if m.sender != nil {
		h.appendAll(&m.sender.headers)
		return
	}
	add(h, HeaderDeviceID, m.From.Device)
	h.addOptional(HeaderModuleID, m.From.Module)
	h.addOptional(HeaderAuthMethod, m.AuthMethod)
	h.addOptional(HeaderGeneration, m.Generation)
	h.addOptional(HeaderSource, m.Source)
	h.addOptional(HeaderModelID, m.ModelID)
}

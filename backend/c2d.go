package backend

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
)

// C2DStore keeps cloud-to-device messages in the stream HUB_C2D, which it reads
// by direct gets, what is known of their deliveries in the bucket hub_c2d, and
// their outcomes in HUB_FEEDBACK and HUB_DEADLETTERS. It is safe for concurrent
// use.
type C2DStore struct {
	js      jetstream.JetStream
	queue   jetstream.Stream
	reader  *direct.Reader // of queue
	states  *bucket
	claims  *bucket // of sessions
	names   subject.Names
	api     string   // what the subjects of JetStream's API begin with
	commits *commits // nil: an answer of the server is enough
	outages *outages
	limit   int64  // bytes of a NATS message
	last    uint64 // the number of the last message when the store was opened
	made    int64  // when the stream was, in Unix nanoseconds: in another one, numbers begin anew
}

// storedState is a state as it is kept. It is about messages of one stream.
type storedState struct {
	c2d.State
	Stream int64 `json:"stream"`
}

var (
	_ c2d.Store    = (*C2DStore)(nil)
	_ c2d.Bulk     = (*C2DStore)(nil)
	_ c2d.Outcomes = (*C2DStore)(nil)
)

func openC2D(ctx context.Context, js jetstream.JetStream, names subject.Names) (*C2DStore, error) {
	states, err := openBucket(ctx, js, names.C2DBucket())
	if err != nil {
		return nil, err
	}
	queue, err := openStream(ctx, js, names.C2DStream())
	if err != nil {
		return nil, err
	}
	return &C2DStore{
		js: js, queue: queue, reader: readerOf(js, queue), states: states, names: names, limit: js.Conn().MaxPayload(),
		api: direct.API(js), outages: &outages{nc: js.Conn()}, made: queue.CachedInfo().Created.UnixNano(), last: queue.CachedInfo().State.LastSeq,
	}, nil
}

// Next implements [c2d.Store].
func (s *C2DStore) Next(ctx context.Context, device string, after uint64) (c2d.Message, error) {
	return s.next(ctx, s.names.C2D(device), after)
}

// Waiting implements [c2d.Bulk].
func (s *C2DStore) Waiting(ctx context.Context, device string, after uint64, room c2d.Room) (first []c2d.Message, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	raw, more, err := s.reader.NextBatch(ctx, after+1, s.names.C2D(device), direct.Room(room))
	if err != nil {
		return nil, false, hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", s.names.C2DStream(), err)
	}
	first = make([]c2d.Message, len(raw))
	for i := range raw {
		first[i] = s.message(raw[i])
	}
	return first, more, nil
}

// next is Next for a subject, which may have a wildcard.
func (s *C2DStore) next(ctx context.Context, subjects string, after uint64) (c2d.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	raw, err := s.reader.Next(ctx, after+1, subjects)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return c2d.Message{}, nil
	}
	if err != nil {
		return c2d.Message{}, hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", s.names.C2DStream(), err)
	}
	return s.message(raw), nil
}

// c2dBatch is what one read of all queues has brought.
type c2dBatch struct {
	messages []c2d.Message
	last     uint64 // number up to which was read
	more     bool
}

// scan reads the messages of all queues behind after, in order.
func (s *C2DStore) scan(ctx context.Context, after uint64, room direct.Room) (c2dBatch, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	raw, more, err := s.reader.NextBatch(ctx, after+1, "", room) // to count what a filter passes, NATS looks at all subjects
	if err != nil {
		return c2dBatch{}, hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", s.names.C2DStream(), err)
	}
	b := c2dBatch{last: after, more: more}
	for _, m := range raw {
		b.last = m.Sequence
		if token, ok := strings.CutPrefix(m.Subject, s.queuePrefix()); ok && !strings.Contains(token, ".") {
			b.messages = append(b.messages, s.message(m))
		}
	}
	return b, nil
}

// queuePrefix is what the subjects of all queues begin with.
func (s *C2DStore) queuePrefix() string { return strings.TrimSuffix(s.names.C2DAll(), "*") }

// Holds implements [c2d.Store]. It knows, because the reader sees every write; see
// readerOf.
func (s *C2DStore) Holds(ctx context.Context, sequence uint64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := s.reader.Get(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, hub.Errorf(hub.ServiceUnavailable, "read message %d of stream %s: %w", sequence, s.names.C2DStream(), err)
	}
	return true, nil
}

// message reads a message that anybody may have published.
func (s *C2DStore) message(raw direct.Message) c2d.Message {
	m := c2d.ParseHeaders(raw.Header.Map())
	m.Body, m.Sequence, m.Enqueued = raw.Data, raw.Sequence, raw.Time
	if raw.Damaged {
		m.Fault = hub.Errorf(hub.ArgumentInvalid, "the headers are not those of a NATS message")
	}
	id, err := s.names.Parse("c2d", raw.Subject)
	m.Device = id.Device
	if err != nil {
		m.Device = clipToken(strings.TrimPrefix(raw.Subject, s.queuePrefix()))
		m.Fault, m.Ack = err, c2d.AckNone // nobody can be told
	}
	return m
}

// clipToken shortens a token that is no id, so that the subject of its dead
// letter is none that NATS closes the connection for.
func clipToken(token string) string {
	const most = 128
	if len(token) <= most {
		return token
	}
	return token[:most] + "…"
}

// key is the key of a device's state. The subject of a message that nobody can
// have is a key too: both are made of the same token.
func stateKey(device string) string { return subject.EncodeToken(device) }

// Load implements [c2d.Store].
func (s *C2DStore) Load(ctx context.Context, device string) (c2d.State, error) {
	e, err := s.states.get(ctx, stateKey(device))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return c2d.State{}, nil
	}
	if err != nil {
		return c2d.State{}, err
	}
	var state storedState
	switch {
	case json.Unmarshal(e.Value(), &state) != nil:
		state.State = c2d.State{} // it is damaged: begin anew
	case state.Stream != s.made: // somebody has removed the stream
		state.State = c2d.State{Epoch: state.Epoch}
	}
	state.Revision = e.Revision()
	return state.State, nil
}

// Claimed implements [c2d.Claims].
func (s *C2DStore) Claimed(ctx context.Context, epoch uint64) (bool, error) {
	return s.claims.claimed(ctx, epoch)
}

// Save implements [c2d.Store].
func (s *C2DStore) Save(ctx context.Context, device string, state c2d.State) error {
	value, err := json.Marshal(storedState{state, s.made})
	if err != nil {
		return hub.Errorf(hub.ServerError, "write the deliveries of %s as JSON: %w", device, err)
	}
	_, err = s.states.put(ctx, stateKey(device), value, state.Revision)
	if isConflict(err) {
		return hub.Errorf(hub.PreconditionFailed, "the deliveries of %s have changed meanwhile", device)
	}
	return err
}

// Report implements [c2d.Outcomes].
func (s *C2DStore) Report(ctx context.Context, f c2d.Feedback) error {
	body, err := json.Marshal(f)
	if err != nil {
		return hub.Errorf(hub.ServerError, "write feedback as JSON: %w", err)
	}
	m := nats.NewMsg(s.names.Feedback(f.Device))
	m.Data = body
	m.Header.Set("content-type", "application/json")
	return s.publish(ctx, m, f.Sequence)
}

// Bury implements [c2d.Outcomes]. A message that has no room for what is added
// to it loses the end of its body, or its headers.
func (s *C2DStore) Bury(ctx context.Context, d c2d.DeadLetter) error {
	m := nats.NewMsg(s.names.DeadLetter(d.Message.Device))
	m.Header.Set(subject.DeadLetterStatus, string(d.Status))
	m.Header.Set(subject.DeadLetterDescription, clipText(oneLine(d.Description)))
	m.Header.Set(subject.DeadLetterTime, d.Time.UTC().Format(time.RFC3339Nano))
	m.Header.Set(subject.DeadLetterEnqueued, d.Message.Enqueued.UTC().Format(time.RFC3339Nano))
	m.Header.Set(subject.DeadLetterSequence, strconv.FormatUint(d.Message.Sequence, 10))
	m.Header.Set(subject.DeadLetterDeliveries, strconv.Itoa(d.Message.Deliveries))
	own := nats.Header(d.Message.Headers())
	missing := int64(0)
	// JetStream's own limit; what is escaped can be three times as long as it was.
	if n := headerSize(own); n > min(maxHeaders, s.limit)-deadLetterRoom {
		own, missing = nil, n
	}
	maps.Copy(m.Header, own)
	m.Data = d.Message.Body
	if most := max(s.limit-deadLetterRoom-headerSize(own), 0); int64(len(m.Data)) > most {
		missing += int64(len(m.Data)) - most
		m.Data = m.Data[:most]
	}
	if missing > 0 {
		m.Header.Set(subject.DeadLetterTruncated, strconv.FormatInt(missing, 10))
	}
	return s.publish(ctx, m, d.Message.Sequence)
}

const (
	maxHeaders     = 64 << 10
	deadLetterRoom = 8 << 10 // for the headers that a dead letter has besides
)

// clipText shortens a sentence that quotes what somebody has sent.
func clipText(text string) string {
	const most = 1 << 10
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func headerSize(h nats.Header) int64 {
	n := int64(0)
	for name, values := range h {
		for _, v := range values {
			n += int64(len(name) + len(v) + 4)
		}
	}
	return n
}

// oneLine makes text fit for a header.
func oneLine(text string) string {
	return cmp.Or(strings.Join(strings.Fields(text), " "), "-")
}

// publish stores the outcome of a message. Of two with the same sequence the
// second vanishes, if it comes soon enough.
func (s *C2DStore) publish(ctx context.Context, m *nats.Msg, sequence uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := s.js.PublishMsg(ctx, m, jetstream.WithMsgID(fmt.Sprintf("c2d-%x-%d", s.made, sequence)))
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "publish to %s: %w", m.Subject, err)
	}
	return nil
}

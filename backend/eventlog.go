package backend

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// eventLog completes the connection events of identities whose nodes may have died
// before they had told them. Of one connection the last event that is stored tells
// what is missing; those of several may have been stored in any order.
type eventLog struct {
	events *Events
	js     jetstream.JetStream
}

// complete stores those of events, which are in order, that the stream does not
// have, and returns how many they were. Whoever else completes the same events
// stores none of them twice.
func (l *eventLog) complete(ctx context.Context, id hub.Identity, events []session.Event) (stored int, err error) {
	for try := 1; ctx.Err() == nil; try++ {
		read := direct.FromLeader(l.js, l.events.names.EventsStream()).Latest
		if try == 1 { // what is old is refused when it is written to
			read = direct.New(l.js, l.events.names.EventsStream()).Latest
		}
		n, err := l.attempt(ctx, id, events, read)
		stored += n
		if !errors.Is(err, errAgain) {
			return stored, err
		}
		wait(ctx, retryPause*time.Duration(min(try, 50)))
	}
	return stored, ctx.Err()
}

// lastOf reads the last message on a subject.
type lastOf func(ctx context.Context, subject string) (direct.Message, error)

func (l *eventLog) attempt(ctx context.Context, id hub.Identity, events []session.Event, read lastOf) (stored int, err error) {
	last, number, err := l.last(ctx, id, read)
	if err != nil {
		return 0, err
	}
	isThere := func(e session.Event) bool { return e.SequenceNumber() <= number }
	newest := events[len(events)-1].SequenceNumber()
	if number > newest || events[0].Epoch != events[len(events)-1].Epoch && number >= events[0].SequenceNumber() {
		all, err := l.numbers(ctx, id, events[0].Time.Add(-skew), last)
		if err != nil {
			return 0, err
		}
		isThere = func(e session.Event) bool { return all[e.SequenceNumber()] }
	}
	for _, e := range events {
		if isThere(e) {
			continue
		}
		if last, err = l.append(ctx, e, last); err != nil {
			return stored, err
		}
		stored++
	}
	return stored, nil
}

const (
	// skew is by how much the clocks of nodes and of NATS may differ before an event
	// is stored a second time.
	skew = time.Hour
	// mostLooked is how many events of an identity are looked at. What is behind
	// them may be stored a second time.
	mostLooked = 1000
)

// numbers are those of the connection events of id that were stored since a time,
// up to a sequence.
func (l *eventLog) numbers(ctx context.Context, id hub.Identity, since time.Time, last uint64) (map[string]bool, error) {
	all, r, subject := map[string]bool{}, direct.New(l.js, l.events.names.EventsStream()), l.events.names.ConnectionEvent(id)
	next := func(ctx context.Context) (direct.Message, error) { return r.NextSince(ctx, since, subject) }
	for at := uint64(0); at < last && len(all) < mostLooked; {
		step, cancel := context.WithTimeout(ctx, requestTimeout)
		m, err := next(step)
		cancel()
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, errAgain // the replica that answers is behind
		}
		if err != nil {
			return nil, hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", l.events.names.EventsStream(), err)
		}
		all[numberOf(m.Data)] = true
		at = m.Sequence
		next = func(ctx context.Context) (direct.Message, error) { return r.Next(ctx, at+1, subject) }
	}
	return all, nil
}

// numberOf is the sequence number in the body of an event; what is none is before
// all.
func numberOf(body []byte) string {
	var e struct {
		SequenceNumber string `json:"sequenceNumber"`
	}
	_ = json.Unmarshal(body, &e)
	return e.SequenceNumber
}

// last is the sequence in the stream of the last event of id, and the event's
// own number.
func (l *eventLog) last(ctx context.Context, id hub.Identity, read lastOf) (sequence uint64, number string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := read(ctx, l.events.names.ConnectionEvent(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", l.events.names.EventsStream(), err)
	}
	return m.Sequence, numberOf(m.Data), nil
}

// append stores an event behind the one with a sequence.
func (l *eventLog) append(ctx context.Context, e session.Event, last uint64) (uint64, error) {
	n, err := l.events.connection(e)
	if err != nil {
		return 0, hub.Errorf(hub.ServerError, "write an event as JSON: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ack, err := l.js.PublishMsg(ctx, n.message(), jetstream.WithExpectLastSequencePerSubject(last), jetstream.WithExpectStream(l.events.names.EventsStream()))
	switch apiCode(err) {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return 0, errAgain
	default:
	}
	if err != nil {
		return 0, hub.Errorf(hub.ServiceUnavailable, "store an event on %s: %w", n.subject, err)
	}
	return ack.Sequence, nil
}

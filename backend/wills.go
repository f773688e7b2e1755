package backend

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	mathrand "math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/telemetry"
)

// willStore keeps the messages that connections leave behind in the bucket
// hub_wills, one key for each connection, and sends those that are due: each
// once, whoever tries.
type willStore struct {
	bucket *bucket
	names  subject.Names
	node   string
	run    string // a part of the names of this process's wills
	count  atomic.Uint64
	now    func() time.Time
	// lost is told of a will that can never be sent.
	lost func(id hub.Identity, err error)
	// alone calls f at a time when the telemetry of this node lets others write into
	// the stream.
	alone func(ctx context.Context, f func() error) error
}

const (
	maxWillBytes = 1 << 30
	// A CONNECT has 64 KiB; its body is base64 in JSON, and each byte of its
	// topic may be three in a header and six in JSON.
	maxWillRecord = 512 << 10
	// Nobody watches, and each connection with a will leaves a marker.
	willMarker = time.Minute
)

// willBucket is the bucket of wills.
func (c Config) willBucket() asset {
	a := c.bucket(c.names().WillBucket(), "messages that connections leave behind", maxWillBytes)
	a.want.MaxMsgSize = maxWillRecord
	a.want.SubjectDeleteMarkerTTL = willMarker
	return a
}

func newWillStore(b *bucket, c Config) *willStore {
	b.marker = willMarker
	return &willStore{
		bucket: b, names: c.names(), node: c.Node, run: rand.Text(), now: time.Now,
		alone: func(_ context.Context, f func() error) error { return f() },
	}
}

// storedWill is the value of a key.
type storedWill struct {
	session.Will
	// Sending is where the will goes. It is there before anybody publishes.
	Sending *sending `json:"sending,omitempty"`
}

// sending is a place in a stream of telemetry: the will is there behind After,
// or it is not sent.
type sending struct {
	Stream  string `json:"stream"`
	Subject string `json:"subject"`
	After   uint64 `json:"after"`
}

// keep stores the will of a connection that is about to claim id, for an
// instance of this node, and returns its name.
func (s *willStore) keep(ctx context.Context, id hub.Identity, instance string, w *session.Will) (string, error) {
	value, err := json.Marshal(storedWill{Will: *w})
	if err != nil {
		return "", hub.Errorf(hub.ServerError, "write the will of %s as JSON: %w", id, err)
	}
	if instance == "" {
		instance = s.run
	}
	will := subject.WillID(s.node, instance, strconv.FormatUint(s.count.Add(1), 36))
	if _, err := s.bucket.create(ctx, subject.WillKey(will, id), value); err != nil {
		return "", hub.Errorf(hub.ServiceUnavailable, "keep the will of %s: %w", id, err)
	}
	return will, nil
}

// forget removes a will that is not to be sent.
func (s *willStore) forget(ctx context.Context, id hub.Identity, will string) error {
	return s.bucket.remove(ctx, subject.WillKey(will, id), 0)
}

// errAgain means that what was read is not what is there, or not for long: somebody
// else has written, is about to, or the replica that answered is behind. Whoever gets it
// reads again.
var errAgain = errors.New("somebody else writes at the same time")

// send sends a will unless it is sent already, and removes it. It returns nil
// when the will is in the stream, and may be called again after any error, by
// anybody.
func (s *willStore) send(ctx context.Context, id hub.Identity, will string) error {
	for try := 1; ctx.Err() == nil; try++ {
		err := s.attempt(ctx, id, will)
		if !errors.Is(err, errAgain) {
			return err
		}
		wait(ctx, mathrand.N(retryPause*time.Duration(min(try, 50))))
	}
	return hub.Errorf(hub.ServiceUnavailable, "send the will of %s: %w", id, ctx.Err())
}

func (s *willStore) attempt(ctx context.Context, id hub.Identity, will string) error {
	key := subject.WillKey(will, id)
	m, err := s.bucket.current(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil // it is sent
	}
	if err != nil {
		return err
	}
	var w storedWill
	if err := json.Unmarshal(m.Data, &w); err != nil {
		return s.drop(ctx, id, will, hub.Errorf(hub.ServerError, "the stored will of %s is damaged: %w", id, err))
	}
	if w.Sending == nil {
		return s.begin(ctx, id, key, w, m.Sequence)
	}
	sent, last, err := s.look(ctx, *w.Sending, will)
	if err != nil {
		return err
	}
	if !sent {
		err = s.publish(ctx, w, will, last)
	}
	if errors.Is(err, errRefused) {
		return s.drop(ctx, id, will, hub.Errorf(hub.MessageTooLarge, "the stream %s does not take the will: it is too large for it", w.Sending.Stream))
	}
	if err != nil {
		return err
	}
	return s.bucket.remove(ctx, key, 0)
}

// drop gives a will up.
func (s *willStore) drop(ctx context.Context, id hub.Identity, will string, why error) error {
	if err := s.forget(ctx, id, will); err != nil {
		return err
	}
	s.lost(id, why)
	return nil
}

// begin writes where the will is to be sent.
func (s *willStore) begin(ctx context.Context, id hub.Identity, key string, w storedWill, revision uint64) error {
	w.Sending = &sending{Stream: s.names.TelemetryStream(), Subject: s.names.Telemetry(id)}
	last, err := s.last(ctx, *w.Sending)
	if err != nil {
		return err
	}
	w.Sending.After = last
	value, err := json.Marshal(w)
	if err != nil {
		return hub.Errorf(hub.ServerError, "write the will of %s as JSON: %w", id, err)
	}
	if _, err := s.bucket.update(ctx, key, value, revision); err != nil && !isConflict(err) {
		return err
	}
	return errAgain
}

// last is the sequence of the last message on the subject, 0 if there is none.
func (s *willStore) last(ctx context.Context, to sending) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := direct.FromLeader(s.bucket.js, to.Stream).Latest(ctx, to.Subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", to.Stream, err)
	}
	return m.Sequence, nil
}

// look reads what has come on the subject since somebody first wanted to send
// the will: it is among that, or last is the last message.
func (s *willStore) look(ctx context.Context, to sending, will string) (sent bool, last uint64, err error) {
	r := direct.New(s.bucket.js, to.Stream)
	last, err = s.last(ctx, to)
	if err != nil {
		return false, 0, err
	}
	for at := to.After; at < last; {
		step, cancel := context.WithTimeout(ctx, requestTimeout)
		m, err := r.Next(step, at+1, to.Subject)
		cancel()
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return false, 0, errAgain // the replica that answers is behind
		case err != nil:
			return false, 0, hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", to.Stream, err)
		case m.Header.Get(subject.WillHeader) == will:
			return true, 0, nil
		}
		at = m.Sequence
		last = max(last, at)
	}
	return false, last, nil
}

// publish stores the will, if nothing else was stored on its subject since last.
func (s *willStore) publish(ctx context.Context, w storedWill, will string, last uint64) error {
	m := nats.NewMsg(w.Sending.Subject)
	for _, h := range w.Headers {
		m.Header.Set(h[0], h[1])
	}
	m.Header.Set(telemetry.HeaderEnqueued, s.now().UTC().Format("2006-01-02T15:04:05.000Z"))
	m.Header.Set(subject.WillHeader, will)
	m.Data = w.Body
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := s.alone(ctx, func() error {
		_, err := s.bucket.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(last), jetstream.WithExpectStream(w.Sending.Stream))
		return err
	})
	switch apiCode(err) {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return errAgain
	case jetstream.JSErrCodeStreamMessageExceedsMaximum, errHeadersTooLong:
		return errRefused
	default:
	}
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadHeaderMsg) {
		return errRefused
	}
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "send a will to %s: %w", m.Subject, err)
	}
	return nil
}

const errHeadersTooLong = 10097 // header size exceeds maximum allowed

// errRefused means that the stream takes no such message, now or later.
var errRefused = errors.New("the stream takes no such message")

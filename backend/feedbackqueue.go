package backend

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
)

// FeedbackQueue hands feedback out in batches, each to one reader at a time: one
// consumer of the stream HUB_FEEDBACK that all nodes share. It is made when
// somebody asks for feedback the first time, and begins with the oldest that is
// kept. It is safe for concurrent use.
//
// What a reader has is acknowledged when he completes it, and not before: a
// batch whose reader or node dies comes again. A lock is a value of the bucket
// hub_c2d, so that it can be settled on any node and survives all of them. There
// is a fixed number of places for locks, whose values are written again and
// again, so that readers can't fill the bucket.
type FeedbackQueue struct {
	js     jetstream.JetStream
	states *bucket
	names  subject.Names
	now    func() time.Time
}

// Feedback is what became of cloud-to-device messages, for readers who settle
// what they have read.
func (b *Backbone) Feedback() *FeedbackQueue { return b.feedback }

const (
	// feedbackLock is how long a batch belongs to who has taken it.
	feedbackLock = time.Minute
	// lockGrace is how much longer the server waits than the lock says: clocks
	// of nodes differ, and what is settled in time must not be with another
	// reader already.
	lockGrace = 10 * time.Second
	// lockPlaces is how many batches can be locked at a time.
	lockPlaces = 128
	// maxRecord is more than any feedback has.
	maxRecord = 16 << 10
)

// lock is who has a batch: the value of a place. A place without a token is
// free.
type lock struct {
	Token string    `json:"token,omitempty"`
	Until time.Time `json:"until,omitzero"`
	// Verdict is what the reader has said, while it is being done: a second one
	// may say the same again, and nothing else.
	Verdict verdict `json:"verdict,omitempty"`
	// Acks are the subjects on which the server hears of each message.
	Acks []string `json:"acks,omitempty"`
}

type verdict string

// The verdicts, by the words in which JetStream is told of them.
const (
	completed verdict = "+ACK"
	abandoned verdict = "-NAK"
)

// Take locks up to [c2d.MaxBatch] records for a minute. A batch without records
// says that there are none that nobody has. It fails with Throttled when too
// many batches are locked.
func (q *FeedbackQueue) Take(ctx context.Context) (c2d.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	consumer, err := q.consumer(ctx)
	if err != nil {
		return c2d.Batch{}, err
	}
	place, rev, err := q.free(ctx)
	if err != nil {
		return c2d.Batch{}, err
	}
	var l lock
	var records []c2d.Feedback
	for more := true; more && err == nil; {
		l.Until = q.now().Add(feedbackLock) // before the server begins to count
		records, more, err = q.fetch(ctx, consumer, &l)
	}
	if err != nil || len(records) == 0 {
		return c2d.Batch{}, err
	}
	for {
		l.Token = newToken(place)
		if _, err = q.write(ctx, place, l, rev); !errors.Is(err, errStale) {
			break
		}
		if place, rev, err = q.free(ctx); err != nil { // another reader has taken the place
			break
		}
	}
	if err != nil {
		_ = q.tell(ctx, l.Acks, abandoned) // else they come again when the lock would end
		return c2d.Batch{}, err
	}
	return c2d.Batch{Token: l.Token, Records: records}, nil
}

// consumer returns the consumer, and makes it if it is missing.
func (q *FeedbackQueue) consumer(ctx context.Context) (jetstream.Consumer, error) {
	c, err := q.js.Consumer(ctx, q.names.FeedbackStream(), q.names.FeedbackConsumer())
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		c, err = q.js.CreateOrUpdateConsumer(ctx, q.names.FeedbackStream(), jetstream.ConsumerConfig{
			Durable: q.names.FeedbackConsumer(), Description: "readers of feedback over HTTP", FilterSubject: q.names.FeedbackAll(),
			DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: feedbackLock + lockGrace, MaxAckPending: lockPlaces * c2d.MaxBatch, MaxDeliver: -1,
		})
	}
	if err != nil {
		return nil, hub.Errorf(hub.ServiceUnavailable, "open the consumer of stream %s: %w", q.names.FeedbackStream(), err)
	}
	return c, nil
}

// fetch reads what comes next, and notes in l how it is acknowledged. What is
// no feedback is not wanted again; if there was nothing else, more says that there
// may be some behind it.
func (q *FeedbackQueue) fetch(ctx context.Context, consumer jetstream.Consumer, l *lock) (records []c2d.Feedback, more bool, err error) {
	messages, err := consumer.FetchNoWait(c2d.MaxBatch)
	if err != nil {
		return nil, false, hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", q.names.FeedbackStream(), err)
	}
	bySequence := map[uint64]c2d.Feedback{}
	var strange []string
	for m := range messages.Messages() {
		f, ok := parseFeedback(m.Data())
		meta, err := m.Metadata()
		if err != nil || !ok {
			strange = append(strange, m.Reply())
			continue
		}
		bySequence[meta.Sequence.Stream] = f
		l.Acks = append(l.Acks, m.Reply())
	}
	if err := messages.Error(); err != nil && len(bySequence) == 0 {
		return nil, false, hub.Errorf(hub.ServiceUnavailable, "read stream %s: %w", q.names.FeedbackStream(), err)
	}
	for _, sequence := range slices.Sorted(maps.Keys(bySequence)) { // what was abandoned comes in any order
		records = append(records, bySequence[sequence])
	}
	return records, len(records) == 0 && len(strange) > 0, q.tell(ctx, strange, completed)
}

// parseFeedback reads what anybody may have published; false: it is no feedback. A
// time whose year JSON does not have in UTC would keep a batch from being written.
func parseFeedback(data []byte) (f c2d.Feedback, ok bool) {
	if len(data) > maxRecord || json.Unmarshal(data, &f) != nil {
		return f, false
	}
	f.Time = f.Time.UTC()
	year := f.Time.Year()
	return f, 0 < year && year <= 9999
}

// Complete takes a batch out of the queue. When it returns without an error,
// the server has stored that. It fails with LockLost when the lock of the token
// is over, or was given back; after another error it may be called again.
func (q *FeedbackQueue) Complete(ctx context.Context, token string) error {
	return q.settle(ctx, token, completed)
}

// Abandon gives a batch back: its records come again at once. It fails as
// Complete does.
func (q *FeedbackQueue) Abandon(ctx context.Context, token string) error {
	return q.settle(ctx, token, abandoned)
}

func (q *FeedbackQueue) settle(ctx context.Context, token string, v verdict) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	place, ok := placeOf(token)
	if !ok {
		return errLockLost()
	}
	l, rev, err := q.decide(ctx, place, token, v)
	if err != nil {
		return err
	}
	if err := q.tell(ctx, l.Acks, v); err != nil {
		return err
	}
	_, err = q.write(ctx, place, lock{}, rev)
	if errors.Is(err, errStale) { // somebody has said the same, and was faster
		return nil
	}
	return err
}

// decide writes the verdict into the lock, or finds it there.
func (q *FeedbackQueue) decide(ctx context.Context, place int, token string, v verdict) (lock, uint64, error) {
	for {
		l, rev, err := q.read(ctx, place)
		switch {
		case err != nil:
			return lock{}, 0, err
		case l.Token != token, q.now().After(l.Until), l.Verdict != "" && l.Verdict != v:
			return lock{}, 0, errLockLost()
		case l.Verdict == v:
			return l, rev, nil
		}
		l.Verdict = v
		rev, err = q.write(ctx, place, l, rev)
		if !errors.Is(err, errStale) {
			return l, rev, err
		}
	}
}

func errLockLost() error {
	return hub.Errorf(hub.LockLost, "nobody holds feedback by this lock token any more: a lock lasts %v, and ends when it is completed or abandoned", feedbackLock)
}

// tell tells the server what became of messages, and waits until it has stored
// that.
func (q *FeedbackQueue) tell(ctx context.Context, acks []string, v verdict) error {
	const atOnce = 16
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, ack := range acks {
		g.Go(func() error {
			_, err := q.js.Conn().RequestWithContext(ctx, ack, []byte(v))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "settle feedback in stream %s: %w", q.names.FeedbackStream(), err)
	}
	return nil
}

// free finds a place whose lock is over, beginning at any: readers at the same
// time look at different ones.
func (q *FeedbackQueue) free(ctx context.Context) (place int, rev uint64, err error) {
	first := rand.IntN(lockPlaces)
	for i := range lockPlaces {
		place = (first + i) % lockPlaces
		l, rev, err := q.read(ctx, place)
		if err != nil || l.Token == "" || q.now().After(l.Until.Add(lockGrace)) {
			return place, rev, err
		}
	}
	return 0, 0, hub.Errorf(hub.Throttled, "%d batches of feedback are locked: complete some of them first", lockPlaces)
}

// newToken is a GUID, as IoT Hub's are. Its first byte says the place.
func newToken(place int) string {
	var b [16]byte
	_, _ = cryptorand.Read(b[:]) // never fails; see crypto/rand
	b[0] = byte(place)
	t := hex.EncodeToString(b[:])
	return t[:8] + "-" + t[8:12] + "-" + t[12:16] + "-" + t[16:20] + "-" + t[20:]
}

// placeOf finds the place of a token; false: it is none of ours.
func placeOf(token string) (int, bool) {
	const length = len("00000000-0000-0000-0000-000000000000")
	if len(token) != length {
		return 0, false
	}
	place, err := strconv.ParseUint(token[:2], 16, 8)
	return int(place), err == nil && place < lockPlaces
}

// placeKey is of two tokens: no device has it.
func placeKey(place int) string { return "feedback." + strconv.Itoa(place) }

func (q *FeedbackQueue) read(ctx context.Context, place int) (lock, uint64, error) {
	e, err := q.states.get(ctx, placeKey(place))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return lock{}, 0, nil
	}
	if err != nil {
		return lock{}, 0, err
	}
	var l lock
	if json.Unmarshal(e.Value(), &l) != nil {
		l = lock{} // it is damaged: what it has locked comes again
	}
	return l, e.Revision(), nil
}

// write stores a lock by compare-and-set; errStale says that somebody else has
// written.
func (q *FeedbackQueue) write(ctx context.Context, place int, l lock, rev uint64) (uint64, error) {
	value, err := json.Marshal(l)
	if err != nil {
		return 0, hub.Errorf(hub.ServerError, "write a lock of feedback as JSON: %w", err)
	}
	rev, err = q.states.put(ctx, placeKey(place), value, rev)
	if isConflict(err) {
		return 0, errStale
	}
	return rev, err
}

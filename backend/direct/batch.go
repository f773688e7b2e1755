package direct

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Room is how much one read may bring. A batch ends with the message that
// reaches Bytes.
type Room struct{ Messages, Bytes int }

// NextBatch returns, in order, the first messages with a number of at least from
// whose subject matches subjects, or any subject for "", and whether there may
// be more behind them. There are none without an error when nothing is found. A
// reader of [FromLeader], and a server older than NATS 2.11, give one at a time.
func (r *Reader) NextBatch(ctx context.Context, from uint64, subjects string, room Room) (found []Message, more bool, err error) {
	if r.fresh || r.single.Load() || room.Messages == 1 {
		return r.nextOne(ctx, from, subjects)
	}
	body, err := json.Marshal(get{Sequence: max(from, 1), Subjects: subjects, Batch: room.Messages, MaxBytes: room.Bytes})
	if err != nil {
		return nil, false, err
	}
	b, err := r.ask(ctx, body, room.Messages)
	switch {
	case b.single:
		r.single.Store(true)
		return []Message{b.answers[0].Message}, true, err
	case err != nil:
		return nil, false, err
	case b.absent, b.lost && len(b.answers) == 0:
		return r.nextOne(ctx, from, subjects)
	}
	found, err = r.settle(ctx, from, subjects, b.answers)
	return found, b.more || b.lost, err
}

// ask asks for a batch and collects the answers.
func (r *Reader) ask(ctx context.Context, body []byte, most int) (batch, error) {
	answers := make(chan *nats.Msg, most+1)
	inbox := r.nc.NewInbox()
	sub, err := r.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return batch{}, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := r.nc.PublishRequest(r.direct, inbox, body); err != nil {
		return batch{}, err
	}
	b := batch{}
	for !b.ended {
		select {
		case m := <-answers:
			reply := replyOf(m)
			if b.addStatus(reply) {
				continue
			}
			found, believed := r.parse(reply)
			b.add(answer{found, believed})
		case <-ctx.Done():
			return b, ctx.Err()
		}
	}
	if b.refused != "" {
		return b, fmt.Errorf("read %s: the server says %s", r.direct, b.refused)
	}
	return b, nil
}

// nextOne is NextBatch of one message.
func (r *Reader) nextOne(ctx context.Context, from uint64, subjects string) ([]Message, bool, error) {
	m, err := r.Next(ctx, from, cmp.Or(subjects, ">"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return []Message{m}, true, nil
}

// settle reads again what is not believed. What has been deleted since is left
// out.
func (r *Reader) settle(ctx context.Context, from uint64, subjects string, answers []answer) ([]Message, error) {
	found := make([]Message, 0, len(answers))
	for _, a := range answers {
		if !a.believed {
			m, err := r.readExactly(ctx, get{Sequence: max(from, 1), Subjects: cmp.Or(subjects, ">")})
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			a.Message = m
		}
		if a.Sequence >= from { // else it has come in the place of one that is deleted
			found = append(found, a.Message)
			from = a.Sequence + 1
		}
	}
	return found, nil
}

// answer is a message of a batch; one whose headers don't account for each of
// its bytes is not believed.
type answer struct {
	Message
	believed bool
}

// batch is what has come of the answers to one request. Each has the number of
// the one before, which shows what was lost.
type batch struct {
	answers []answer
	ended   bool
	more    bool   // the server says that there are more
	lost    bool   // something is missing behind answers
	single  bool   // the server has answered as to a request for one message, the only one
	absent  bool   // nobody answers direct gets
	refused string // what the server says instead
}

// addStatus takes the next answer if it is no message.
func (b *batch) addStatus(m Reply) bool {
	code, ok := statusOf(m)
	if !ok {
		return false
	}
	b.ended = true
	switch code {
	case statusNotFound:
	case statusAbsent:
		b.absent = true
	case statusEnd:
		pending, _ := strconv.ParseUint(m.Header.Get(pendingHeader), 10, 64)
		b.more = pending > 0
		b.lost = !b.follows(m.Header)
	default:
		b.refused = code + " " + m.Header.Get(descriptionHeader)
	}
	return true
}

// add takes the next message.
func (b *batch) add(a answer) {
	switch {
	case a.believed && len(b.answers) == 0 && a.Header.Get(pendingHeader) == "":
		b.single, b.ended = true, true
	case a.believed && !b.follows(a.Header):
		b.lost, b.ended = true, true
		return
	}
	b.answers = append(b.answers, a)
}

// follows reports whether what has these headers comes behind the last answer,
// as far as that can be told.
func (b *batch) follows(h Headers) bool {
	before := uint64(0)
	if n := len(b.answers); n > 0 {
		if !b.answers[n-1].believed {
			return true
		}
		before = b.answers[n-1].Sequence
	}
	n, err := strconv.ParseUint(h.last(lastSequenceHeader), 10, 64)
	return err == nil && n == before
}

package backend

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
	"github.com/hubgate/hubgate/telemetry"
)

// mail is the replies that a link has for the engine at once, and room for the
// answers that follow from them. Its storage is used again.
type mail struct {
	responses []response
	answers   []settlement
	held      bool // answers wait for a sync that nobody has asked for yet
}

// to is what a reply is to: message seq, as it was published between two setbacks.
type to struct {
	seq   uint64
	epoch uint64 // of the engine, and one; 0: any, and it says nothing of others
}

// response is a reply as the engine wants it: an acknowledgement, "no responders",
// or an error of JetStream.
type response struct {
	to
	ack    ack                 // its slices are the link's
	nobody bool                // listens where the message went
	err    *jetstream.APIError // nil: it is none
}

// settlement is an answer with what it says.
type settlement struct {
	answer
	took int64 // from Store to the acknowledgement; 0: it is not stored
	err  error
}

// add takes a reply. The data has to stay as it is until the engine has the mail.
// What is not from JetStream is left out: its own answer may still come.
func (m *mail) add(t to, data []byte) {
	if a, ok := parseAck(data); ok {
		m.responses = append(m.responses, response{to: t, ack: a})
	} else if err := parseError(data); err != nil {
		m.responses = append(m.responses, response{to: t, err: err})
	}
}

// addNobody takes "no responders".
func (m *mail) addNobody(t to) {
	m.responses = append(m.responses, response{to: t, nobody: true})
}

// parseError reads an error of JetStream; nil if it is none.
func parseError(data []byte) *jetstream.APIError {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if json.Unmarshal(data, &answer) != nil {
		return nil
	}
	return answer.Error
}

// receive takes the replies of a link and leaves m empty. It calls done.Stored.
func (e *Engine) receive(m *mail) {
	e.mu.Lock()
	now := e.now()
	for i := range m.responses {
		r := &m.responses[i]
		switch {
		case r.nobody:
			e.setback(r.seq, "nobody takes messages for the stream; is it there?")
		case r.err != nil:
			e.refused(r, m, now)
		default:
			e.acknowledged(r, m, now)
		}
	}
	e.calm()
	e.mu.Unlock()
	if m.held {
		e.commits.kick()
	}
	e.give(m.answers)
	clear(m.responses)
	clear(m.answers)
	m.responses, m.answers, m.held = m.responses[:0], m.answers[:0], false
}

// give counts answers and gives them, in their order.
func (e *Engine) give(answers []settlement) {
	stored := uint64(0)
	for i := range answers {
		if a := &answers[i]; a.err == nil {
			stored++
			e.took.Observe(time.Duration(a.took))
		}
	}
	e.stored.Add(stored)
	e.failed.Add(uint64(len(answers)) - stored)
	for i := range answers {
		answers[i].give(answers[i].err)
	}
}

// parseAck reads JetStream's acknowledgement, {"stream":"…","seq":…}, without
// decoding JSON. It returns false for anything else: an error, or the answer of
// somebody who is not JetStream.
func parseAck(data []byte) (a ack, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return ack{}, false
	}
	a.stream, rest, ok = bytes.Cut(rest, []byte(`"`))
	if !ok {
		return ack{}, false
	}
	_, rest, ok = bytes.Cut(rest, []byte(`"seq":`))
	a.rest = bytes.TrimLeft(rest, " ")
	return a, ok && len(a.rest) > 0 && '1' <= a.rest[0] && a.rest[0] <= '9'
}

// ack is an acknowledgement: the stream, and what begins with the digits of the
// message's sequence number in it.
type ack struct{ stream, rest []byte }

// sequence is the number; 0 if there is none.
func (a ack) sequence() (n uint64) {
	for _, c := range a.rest {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// isLate reports whether r is to a publication from before the last setback: it
// says nothing of the one after it, nor of other messages.
func (e *Engine) isLate(r *response) bool { return r.epoch != 0 && r.epoch != e.epoch.Load()+1 }

// acknowledged takes an acknowledgement. e.mu is held.
func (e *Engine) acknowledged(r *response, m *mail, now int64) {
	s := e.win.at(r.seq)
	if s == nil || string(r.ack.stream) != e.stream {
		return
	}
	e.refusal = nil
	sequence := r.ack.sequence()
	if e.isLate(r) {
		e.answered = now
		e.accept(s, sequence, m, now)
		e.kick() // that may have been the probe
		return
	}
	e.alive(r.seq, now)
	if r.epoch != 0 {
		e.vouch(s, sequence, m, now)
	}
	e.beyond = r.seq != e.win.head
	e.accept(s, sequence, m, now)
}

// accept settles a message as stored, or has it wait for the disk. e.mu is held.
func (e *Engine) accept(s *slot, sequence uint64, m *mail, now int64) {
	if e.commits != nil {
		m.held = e.hold(s, sequence) || m.held
		return
	}
	a := settlement{took: now - s.stored}
	a.answer = e.settle(s)
	a.sequence = sequence
	m.answers = append(m.answers, a)
}

// setback stalls the engine because message seq was not taken. An answer to a
// publication from before the last setback says nothing new. e.mu is held.
func (e *Engine) setback(seq uint64, why string) {
	if e.win.at(seq) != nil && seq < e.win.next {
		e.stall(why)
	}
}

// refused takes an error of JetStream. e.mu is held.
func (e *Engine) refused(r *response, m *mail, now int64) {
	if transient(r.err) {
		e.setback(r.seq, r.err.Description)
		return
	}
	s := e.win.at(r.seq)
	if s == nil {
		return
	}
	if e.isLate(r) {
		e.answered = now
	} else {
		e.alive(r.seq, now)
		e.skip(s)
	}
	err := refusal(r.err)
	e.noteRefusal(err)
	m.answers = append(m.answers, settlement{answer: e.settle(s), err: err})
}

// JetStream's codes for what goes by.
const (
	errClusterNotAvailable = 10008
	errClusterNotLeader    = 10009
	errStreamOffline       = 10118
	errTooManyRequests     = 10167
	errHeaderTooLarge      = 10097
)

func transient(e *jetstream.APIError) bool {
	switch e.ErrorCode {
	case errClusterNotAvailable, errClusterNotLeader, errStreamOffline, errTooManyRequests:
		return true
	default:
		return false
	}
}

// refusal is a definite answer of JetStream as a hub error.
func refusal(e *jetstream.APIError) error {
	switch e.ErrorCode {
	case jetstream.JSErrCodeStreamMessageExceedsMaximum, errHeaderTooLarge:
		return hub.Errorf(hub.MessageTooLarge, "JetStream refuses the message: %w", e)
	default:
		return hub.Errorf(hub.ServiceUnavailable, "JetStream refuses to store the message: %w", e)
	}
}

// finish settles message seq with an error, unless it is settled already.
func (e *Engine) finish(seq uint64, err error) {
	e.mu.Lock()
	s := e.win.at(seq)
	if s == nil {
		e.mu.Unlock()
		return
	}
	e.noteRefusal(err)
	a := e.settle(s)
	e.mu.Unlock()
	e.failed.Add(1)
	a.give(err)
}

// answer is what a settled message owes its sender. It is given when e.mu is
// not held.
type answer struct {
	done telemetry.Receipt
	tag  uint64
	span span.Span // nil: it is in no trace

	sequence uint64 // in the stream; 0: it is not there
}

func (a answer) give(err error) {
	if a.span != nil {
		a.span.End(span.Outcome{Err: err, Sequence: a.sequence})
	}
	a.done.Stored(a.tag, err)
}

// settle takes s out of the window; after it nobody else settles s. e.mu is
// held.
func (e *Engine) settle(s *slot) answer {
	a := answer{done: s.done, tag: s.tag, span: s.span}
	e.win.remove(s)
	e.checkDrained()
	if s.refs.Add(-1) == 0 {
		e.win.recycle(s)
	}
	return a
}

package backend

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
	"github.com/hubgate/hubgate/telemetry"
)

// reply takes what came to the inbox. It runs in the one goroutine of the
// subscription and calls done.Stored.
func (e *Engine) reply(l *link, m *nats.Msg) {
	seq, err := strconv.ParseUint(m.Subject[len(l.inbox):], 36, 64)
	if err != nil {
		return
	}
	if a, ok := parseAck(m.Data); ok {
		e.acknowledged(seq, a)
		return
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		e.setback(seq, "nobody takes messages for the stream; is it there?")
		return
	}
	e.refused(seq, m.Data)
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

// acknowledged settles a message as stored, or has it wait for the disk.
func (e *Engine) acknowledged(seq uint64, by ack) {
	e.mu.Lock()
	s := e.win.at(seq)
	if s == nil || string(by.stream) != e.stream {
		e.mu.Unlock()
		return
	}
	e.alive(seq)
	e.beyond = seq != e.win.head
	e.refusal = nil
	if e.commits != nil {
		first := e.hold(s, by)
		e.mu.Unlock()
		if first {
			e.commits.kick()
		}
		return
	}
	took := e.answered - s.stored
	a := e.settle(s)
	e.mu.Unlock()
	e.stored.Add(1)
	e.took.Observe(time.Duration(took))
	if a.span != nil {
		a.sequence = by.sequence()
	}
	a.give(nil)
}

// setback stalls the engine because message seq was not taken. An answer to a
// publication from before the last setback says nothing new.
func (e *Engine) setback(seq uint64, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.win.at(seq) != nil && seq < e.win.next {
		e.stall(why)
	}
}

// refused takes an answer that is not an acknowledgement.
func (e *Engine) refused(seq uint64, data []byte) {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if json.Unmarshal(data, &answer) != nil || answer.Error == nil {
		return // not from JetStream: its own answer may still come
	}
	if transient(answer.Error) {
		e.setback(seq, answer.Error.Description)
		return
	}
	e.mu.Lock()
	if e.win.at(seq) != nil {
		e.alive(seq)
	}
	e.mu.Unlock()
	e.finish(seq, refusal(answer.Error))
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

	sequence uint64 // in the stream, if there is a span
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

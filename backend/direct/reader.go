package direct

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Message is a message of a stream.
type Message struct {
	Subject  string
	Sequence uint64
	Time     time.Time
	// Header has the publisher's headers, and may have the server's behind them.
	// It is nil when they can't be read; then Damaged is set.
	Header  Headers
	Damaged bool
	Data    []byte
}

// Reader reads one stream. It is safe for concurrent use.
type Reader struct {
	asker         Asker
	nc            *nats.Conn  // for batches
	direct, exact string      // subjects of the two ways
	fresh         bool        // only exact will do
	lines         int         // see maxLines
	single        atomic.Bool // the server knows of no batches
}

// API is what the subjects of JetStream's API begin with.
func API(js jetstream.JetStream) string {
	if domain := js.Options().Domain; domain != "" {
		return "$JS." + domain + ".API."
	}
	return "$JS.API."
}

// New returns the reader of a stream, which need not be there yet.
func New(js jetstream.JetStream, stream string) *Reader {
	prefix := API(js)
	return &Reader{asker: AskerOf(js), nc: js.Conn(), direct: prefix + "DIRECT.GET." + stream, exact: prefix + "STREAM.MSG.GET." + stream, lines: maxLines(stream)}
}

// FromLeader is [New] for answers that know of every write which has been
// acknowledged to anybody: they come from the leader of the stream. Any replica
// answers a direct get, also one that has not heard yet of the latest writes.
func FromLeader(js jetstream.JetStream, stream string) *Reader {
	r := New(js, stream)
	r.fresh = true
	return r
}

// IsFresh reports whether the reader is one of [FromLeader].
func (r *Reader) IsFresh() bool { return r.fresh }

// get is a request for a message, as JetStream has it.
type get struct {
	Sequence uint64     `json:"seq,omitempty"`
	Since    *time.Time `json:"start_time,omitempty"` // only direct gets know it; others begin with the first message
	Subjects string     `json:"next_by_subj,omitempty"`
	Last     string     `json:"last_by_subj,omitempty"`
	Batch    int        `json:"batch,omitempty"`     // only direct gets know it
	MaxBytes int        `json:"max_bytes,omitempty"` // of a batch
}

// Latest returns the last message of a subject, or fails with
// [jetstream.ErrMsgNotFound].
func (r *Reader) Latest(ctx context.Context, subject string) (Message, error) {
	if r.fresh {
		return r.readExactly(ctx, get{Last: subject})
	}
	reply, err := r.asker.Ask(ctx, Request{Subject: r.direct + "." + subject}) // for which nobody reads JSON
	return r.answer(ctx, get{Last: subject}, reply, err)
}

// Next returns the first message with a number of at least from whose subject
// matches subjects, or fails with [jetstream.ErrMsgNotFound].
func (r *Reader) Next(ctx context.Context, from uint64, subjects string) (Message, error) {
	return r.read(ctx, get{Sequence: max(from, 1), Subjects: subjects})
}

// NextSince is Next for the messages that were stored at a time or later.
func (r *Reader) NextSince(ctx context.Context, since time.Time, subjects string) (Message, error) {
	return r.read(ctx, get{Since: &since, Subjects: subjects})
}

// Get returns the message with a number, or fails with
// [jetstream.ErrMsgNotFound].
func (r *Reader) Get(ctx context.Context, sequence uint64) (Message, error) {
	return r.read(ctx, get{Sequence: sequence})
}

func (r *Reader) read(ctx context.Context, g get) (Message, error) {
	if r.fresh {
		return r.readExactly(ctx, g)
	}
	body, err := json.Marshal(g)
	if err != nil {
		return Message{}, err
	}
	reply, err := r.asker.Ask(ctx, Request{Subject: r.direct, Data: body})
	return r.answer(ctx, g, reply, err)
}

// answer is what a direct get has met, or what the API says instead.
func (r *Reader) answer(ctx context.Context, g get, reply Reply, err error) (Message, error) {
	switch {
	case errors.Is(err, nats.ErrNoResponders): // the stream has no direct gets
		return r.readExactly(ctx, g)
	case err != nil:
		return Message{}, err
	}
	if code, ok := statusOf(reply); ok && code == statusNotFound {
		return Message{}, jetstream.ErrMsgNotFound
	}
	if m, ok := r.parse(reply); ok {
		return m, nil
	}
	return r.readExactly(ctx, g)
}

const (
	headerLine = "NATS/1.0\r\n"
	lineEnd    = "\r\n"
)

// canonicalBytes is how long headers are as the server writes them, with an end
// but without a first line.
func canonicalBytes(h Headers) (n int) {
	n = len(lineEnd)
	for i := range h {
		n += len(h[i].Name) + len(": ") + len(h[i].Value) + len(lineEnd)
	}
	return n
}

// maxLines is how many header lines an answer that is believed has at most. A
// publisher may leave out two bytes in each line, the space and the carriage
// return. That must not make room, behind an early end, for the least that the
// server adds.
func maxLines(stream string) int {
	const least = "Nats-Stream: \r\nNats-Subject: s\r\nNats-Sequence: 1\r\nNats-Time-Stamp: 2006-01-02T15:04:05Z\r\n\r\n"
	return (len(least) + len(stream) - len("\r\r\n")) / len(" \r")
}

// parse reads the answer to a direct get. It fails when there may be bytes in the
// headers that nobody has read.
func (r *Reader) parse(m Reply) (Message, bool) {
	if len(headerLine)+canonicalBytes(m.Header) != m.HeaderBytes || len(m.Header) > r.lines {
		return Message{}, false
	}
	var err error
	found := Message{Subject: m.Header.last(jetstream.SubjectHeader), Header: m.Header, Data: m.Data}
	if found.Sequence, err = strconv.ParseUint(m.Header.last(jetstream.SequenceHeader), 10, 64); err != nil {
		return found, false
	}
	found.Time, err = time.Parse(time.RFC3339Nano, m.Header.last(jetstream.TimeStampHeaer))
	return found, err == nil && found.Subject != ""
}

// Sequence is the number in the headers of a message that a stream has
// republished; 0 when there is none.
func Sequence(h nats.Header) uint64 {
	n, _ := strconv.ParseUint(lastOf(h[jetstream.SequenceHeader]), 10, 64)
	return n
}

// Size is how long, by the headers of a message that was republished without
// its body, the body is; 0 when they don't say.
func Size(h nats.Header) int {
	n, _ := strconv.Atoi(lastOf(h["Nats-Msg-Size"]))
	return n
}

func lastOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// readExactly reads a message by the API.
func (r *Reader) readExactly(ctx context.Context, g get) (Message, error) {
	body, err := json.Marshal(g)
	if err != nil {
		return Message{}, err
	}
	reply, err := r.asker.Ask(ctx, Request{Subject: r.exact, Data: body})
	if err != nil {
		return Message{}, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return Message{}, fmt.Errorf("read the answer on %s: %w", r.exact, err)
	}
	switch e := answer.Error; {
	case e != nil && e.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return Message{}, jetstream.ErrMsgNotFound
	case e != nil:
		return Message{}, e
	}
	m := answer.Message
	found := Message{Subject: m.Subject, Sequence: m.Sequence, Time: m.Time, Data: m.Data}
	found.Header, found.Damaged = decode(m.Header)
	return found, nil
}

// decode reads headers as they were published. Those that end before their end
// are damaged: another reader may see something else.
func decode(b []byte) (h Headers, damaged bool) {
	if len(b) == 0 {
		return nil, false
	}
	h = ReadHeaders(string(b))
	if h == nil || !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		return nil, true
	}
	inner := b[:len(b)-len("\n\r\n")]
	if bytes.Contains(inner, []byte("\n\n")) || bytes.Contains(inner, []byte("\n\r\n")) {
		return nil, true
	}
	return h, false
}
